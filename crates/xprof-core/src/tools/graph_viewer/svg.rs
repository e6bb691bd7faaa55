//! A drawing as SVG. Characters are all of one width, so that texts can be measured without a browser.

use std::fmt::Write as _;

use super::graph::{Cluster, Drawing, Edge, EdgeKind, Item, Node, Outline};
use super::layout::{Area, Layout, Point, layout};

/// Height of a line and width of a character at a font size of 11.
const LINE_HEIGHT: f64 = 14.0;
const CHAR_WIDTH: f64 = 6.62;
/// Lines end here; the graph's text has them whole.
const MAX_CHARS: usize = 80;
/// Space around the whole.
const MARGIN: f64 = 16.0;

/// A piece of a line in one style: its text, with entities, and whether it is bold or italic.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    text: String,
    n_chars: usize,
    class: &'static str,
}

/// Takes the markup of a line apart: `<b>`, `<i>` and entities. A line break in it is a blank, as in DOT.
fn spans(line: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let line = line.replace("\n  ", " ").replace('\n', " ");
    let (mut class, mut total, mut rest) = ("", 0, &*line);
    while let Some(c) = rest.chars().next() {
        let tag = [("<b>", "bold"), ("</b>", ""), ("<i>", "italic"), ("</i>", "")];
        if let Some((tag, next)) = tag.iter().find(|(tag, _)| rest.starts_with(tag)) {
            class = next;
            rest = &rest[tag.len()..];
            continue;
        }
        let entity = if c == '&' { rest.find(';').map(|end| end + 1).filter(|&end| end <= 6) } else { None };
        let (piece, after) = rest.split_at(entity.unwrap_or(c.len_utf8()));
        rest = after;
        total += 1;
        if total > MAX_CHARS {
            break;
        }
        let piece = if total == MAX_CHARS && !rest.is_empty() { "…" } else { piece };
        match spans.last_mut() {
            Some(span) if span.class == class => {
                span.text.push_str(piece);
                span.n_chars += 1;
            }
            _ => spans.push(Span { text: piece.to_owned(), n_chars: 1, class }),
        }
    }
    spans
}

/// The size of lines of text.
pub(super) fn text_size(lines: &[String]) -> Point {
    let widest = lines.iter().map(|line| spans(line).iter().map(|span| span.n_chars).sum::<usize>()).max();
    Point { x: widest.unwrap_or(0) as f64 * CHAR_WIDTH, y: lines.len() as f64 * LINE_HEIGHT }
}

/// Writing to a String cannot fail.
fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// The whole drawing.
pub(super) fn write(drawing: &Drawing) -> String {
    let layout = layout(drawing);
    let Area { min, max } = layout.area;
    let (width, height) = (max.x - min.x + 2.0 * MARGIN, max.y - min.y + 2.0 * MARGIN);
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{:.1} {:.1} {width:.1} {height:.1}\">\n{HEAD}",
            min.x - MARGIN,
            min.y - MARGIN,
        ),
    );
    let mut writer = Writer { out, layout: &layout, n_nodes: 0, n_clusters: 0 };
    writer.clusters(&drawing.items);
    for (n, (edge, path)) in drawing.edges.iter().zip(&layout.edges).enumerate() {
        writer.edge(n + 1, edge, path);
    }
    writer.nodes(&drawing.items);
    writer.out.push_str("</svg>");
    writer.out
}

/// Styles, and the two heads of arrows.
const HEAD: &str = r#"<style>
text{font:11px monospace;white-space:pre}.bold{font-weight:bold}.italic{font-style:italic}
.edge path{fill:none;stroke:#555}.edge text{fill:#555;font-size:9px}
.edge.from path{stroke:#1976d2;stroke-width:2.4}.edge.to path{stroke:#d32f2f;stroke-width:2.4}
</style>
<defs>
<marker id="full" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" style="fill:#555"/></marker>
<marker id="hollow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1L9 5L1 9z" style="fill:#fff;stroke:#555"/></marker>
</defs>
"#;

struct Writer<'a> {
    out: String,
    layout: &'a Layout,
    n_nodes: usize,
    n_clusters: usize,
}

impl Writer<'_> {
    /// Boxes, outer ones first so that they lie below.
    fn clusters(&mut self, items: &[Item]) {
        let mut open: Vec<&Item> = items.iter().rev().collect();
        while let Some(item) = open.pop() {
            if let Item::Cluster(cluster) = item {
                self.cluster(cluster);
                open.extend(cluster.items.iter().rev());
            }
        }
    }

    fn nodes(&mut self, items: &[Item]) {
        let mut open: Vec<&Item> = items.iter().rev().collect();
        while let Some(item) = open.pop() {
            match item {
                Item::Node(node) => self.node(node),
                Item::Cluster(cluster) => open.extend(cluster.items.iter().rev()),
            }
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let Some(area) = self.layout.boxes.get(&cluster.computation) else {
            return;
        };
        self.n_clusters += 1;
        let (fill, border) = if cluster.is_fusion { cluster.colours() } else { ("none", "black") };
        let centre = if cluster.is_centre { " data-centre=\"\"" } else { "" };
        put(&mut self.out, format_args!("<g class=\"cluster\" id=\"clust{}\"{centre}>", self.n_clusters));
        self.rect(area, 8.0, &format!("fill:{fill};stroke:{border}"));
        let left = area.min.x + 8.0;
        self.lines(&cluster.lines, "black", area.min.y + 4.0, |_| left);
        self.out.push_str("</g>\n");
    }

    fn node(&mut self, node: &Node) {
        let Some(area) = self.layout.nodes.get(&node.key) else {
            return;
        };
        self.n_nodes += 1;
        let key = node.key;
        let centre = if node.style.shape == Outline::Diamond { " data-centre=\"\"" } else { "" };
        put(&mut self.out, format_args!("<g class=\"node\" id=\"node{}\" data-key=\"{key}\"{centre}>", self.n_nodes));
        if !node.tooltip.trim().is_empty() {
            let tooltip = node.tooltip.replace("\\\\", "\\").replace('<', "&lt;").replace('>', "&gt;");
            put(&mut self.out, format_args!("<title>{tooltip}</title>"));
        }
        let style = &node.style;
        let dash = if style.is_dashed { ";stroke-dasharray:4 3" } else { "" };
        let look = format!("fill:{};stroke:{}{dash}", style.fill, style.border);
        match style.shape {
            Outline::Rect => self.rect(area, 0.0, &look),
            // The text is measured for a rectangle; a frame of another form would cut its corners off.
            Outline::Diamond => self.rect(area, 0.0, &format!("{look};stroke-width:4")),
            Outline::Ellipse | Outline::Circle => self.rect(area, 14.0, &look),
        }
        let middle = area.centre().x;
        self.lines(&node.lines, style.text, area.min.y + 10.0, |width| middle - width / 2.0);
        self.out.push_str("</g>\n");
    }

    fn rect(&mut self, area: &Area, radius: f64, style: &str) {
        let Area { min, max } = area;
        put(
            &mut self.out,
            format_args!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{radius}\" style=\"{style}\"/>",
                min.x,
                min.y,
                max.x - min.x,
                max.y - min.y,
            ),
        );
    }

    /// Lines below each other; `left` tells where a line of a width begins.
    fn lines(&mut self, lines: &[String], colour: &str, top: f64, left: impl Fn(f64) -> f64) {
        for (n, line) in lines.iter().enumerate() {
            let spans = spans(line);
            let n_chars: usize = spans.iter().map(|span| span.n_chars).sum();
            let mut x = left(n_chars as f64 * CHAR_WIDTH);
            let y = top + n as f64 * LINE_HEIGHT + 10.0;
            for span in spans {
                let class = if span.class.is_empty() { String::new() } else { format!(" class=\"{}\"", span.class) };
                put(
                    &mut self.out,
                    format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\"{class}>{}</text>", span.text),
                );
                x += span.n_chars as f64 * CHAR_WIDTH;
            }
        }
    }

    fn edge(&mut self, number: usize, edge: &Edge, path: &[Point]) {
        let (Some(first), Some(last)) = (path.first(), path.last()) else {
            return;
        };
        put(
            &mut self.out,
            format_args!(
                "<g class=\"edge\" id=\"edge{number}\" data-from=\"{}\" data-to=\"{}\"><title>{}</title>",
                edge.from,
                edge.to,
                edge.tooltip.replace('>', "&gt;"),
            ),
        );
        put(&mut self.out, format_args!("<path d=\"M{:.1} {:.1}", first.x, first.y));
        // Corners are rounded: the curve touches the middle of each piece.
        for pair in path.windows(2).skip(1) {
            let (corner, next) = (pair[0], pair[1]);
            let (x, y) = (f64::midpoint(corner.x, next.x), f64::midpoint(corner.y, next.y));
            put(&mut self.out, format_args!("Q{:.1} {:.1} {x:.1} {y:.1}", corner.x, corner.y));
        }
        put(&mut self.out, format_args!("L{:.1} {:.1}\"", last.x, last.y));
        let (head, dash) = match edge.kind {
            EdgeKind::Value { is_small: true, .. } => ("hollow", ""),
            EdgeKind::Control { .. } => ("full", " stroke-dasharray=\"1 3\""),
            EdgeKind::Call { .. } => ("full", " stroke-dasharray=\"5 4\""),
            EdgeKind::Value { .. } | EdgeKind::Root => ("full", ""),
        };
        put(&mut self.out, format_args!("{dash} marker-end=\"url(#{head})\"/>"));
        if let EdgeKind::Value { operand: Some(n), .. } = edge.kind {
            put(&mut self.out, format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{n}</text>", last.x + 4.0, last.y - 6.0));
        }
        self.out.push_str("</g>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &[(&str, usize, &str)]) {
        let got = spans(line);
        let got: Vec<_> = got.iter().map(|span| (&*span.text, span.n_chars, span.class)).collect();
        assert_eq!(got, expect, "{line}");
    }

    #[test]
    fn takes_markup_apart() {
        check("<b>add.1</b>", &[("add.1", 5, "bold")]);
        check("<b>operand</b> = {} (f32[0])", &[("operand", 7, "bold"), (" = {} (f32[0])", 14, "")]);
        check("a &lt; b &amp; <i>c</i>", &[("a &lt; b &amp; ", 8, ""), ("c", 1, "italic")]);
        check("", &[]);
        check("s32[2,1] {\n  {1},\n  {2}\n}", &[("s32[2,1] { {1}, {2} }", 21, "")]);
        let long = "x".repeat(100);
        let cut = spans(&long);
        assert_eq!((cut[0].n_chars, cut[0].text.ends_with('…')), (MAX_CHARS, true));
    }
}
