//! Draws blocks as a graph in DOT and as a page with a picture.
//!
//! Takes blocks, gives text. The page needs nothing from elsewhere: the picture is SVG, and the graph is in it for those who
//! want to lay it out themselves.

use std::fmt::Write as _;

use super::blocks::{Block, Blocks, Content, DRAWING_POINTS, Rectangle};
use super::program::Program;

const POINTS_PER_INCH: f64 = 72.0;
/// Space on each side of a label, in points.
const LABEL_MARGIN: f64 = 1.44;
/// Width of a letter and height of a line of text, in parts of the size of the font.
const LETTER_WIDTH: f64 = 0.55;
const LINE_HEIGHT: f64 = 1.2;
/// The largest font of the picture, of which a screen shows four or five points as one pixel.
const MAX_PICTURE_POINTS: f64 = 64.0;

/// What is shown if there is nothing to draw.
const EMPTY_PAGE: &str = "<html><body style=\"font-family: sans-serif; padding: 20px;\"><h2>No memory allocation timeline \
    available</h2><p>There is no memory activity data to display for this timeline.</body></html>";

/// One rectangle of the drawing.
struct Node {
    place: Rectangle,
    tooltip: String,
    color: String,
    /// Of the graph, as the reference writes it.
    label: Label,
    /// Of the picture, as large as a page that shows the whole drawing needs it.
    picture_label: Label,
}

#[derive(Default)]
struct Label {
    text: String,
    font_points: f64,
}

impl Label {
    fn new(name: &str, place: Rectangle, font_points: f64) -> Self {
        Self { text: fitting(name, place, font_points), font_points }
    }
}

/// The page.
pub fn page(program: &Program, blocks: &Blocks) -> String {
    let nodes = nodes(program, blocks);
    if nodes.is_empty() {
        return EMPTY_PAGE.to_owned();
    }
    let title = escape_xml(&program.outline.text(program.outline.name));
    let mut page = format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <div id=\"graph-container\">\n"
    );
    write_svg(&mut page, &nodes);
    page.push_str("</div>\n<script>\nconst data = `");
    push_script_text(&mut page, &dot(&nodes));
    page.push_str("`;\n");
    page.push_str(SCRIPT);
    page.push_str("</script>\n</body></html>\n");
    page
}

const STYLE: &str = "\
    html, body { margin: 0; height: 100%; font: 12px sans-serif; }\n\
    #graph-container, svg { width: 100%; height: 100%; }\n\
    rect { stroke: #000; stroke-width: 0.5; }\n\
    text { font-family: Arial, sans-serif; text-anchor: middle; dominant-baseline: central; }\n\
    nav { position: fixed; right: 8px; top: 8px; }\n";

/// Zooms with the wheel, moves with the mouse, saves the graph and the picture.
const SCRIPT: &str = r"const svg = document.querySelector('svg'), view = svg.viewBox.baseVal;
svg.addEventListener('wheel', e => {
  e.preventDefault();
  const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const f = Math.exp(e.deltaY / 500);
  view.x = p.x + (view.x - p.x) * f; view.y = p.y + (view.y - p.y) * f;
  view.width *= f; view.height *= f;
}, { passive: false });
svg.addEventListener('pointermove', e => {
  if (!e.buttons) return;
  const scale = svg.getScreenCTM().a;
  view.x -= e.movementX / scale; view.y -= e.movementY / scale;
});
const nav = document.body.appendChild(document.createElement('nav'));
for (const [name, type, text] of [['timeline.dot', 'text/vnd.graphviz', () => data], ['timeline.svg', 'image/svg+xml', () => svg.outerHTML]]) {
  const link = nav.appendChild(document.createElement('a'));
  link.textContent = name + ' '; link.download = name; link.href = '#';
  link.onclick = () => { link.href = URL.createObjectURL(new Blob([text()], { type })); };
}
";

fn nodes(program: &Program, blocks: &Blocks) -> Vec<Node> {
    let placed = blocks.list.iter().filter_map(|block| Some((block, blocks.rectangle(block)?)));
    placed.map(|(block, place)| node(program, block, place)).collect()
}

fn node(program: &Program, block: &Block, place: Rectangle) -> Node {
    let font_points = (0.6 * place.height).clamp(8.0, 14.0);
    match block.content {
        Content::Allocation(at) => {
            let allocation = &program.allocations[at as usize];
            let (index, size, n) = (allocation.index, allocation.size_bytes, allocation.assigned.len());
            let tooltip = format!("buffer_allocation_id:{index}\nsize:{size}\nbuffer_counts:{n}\n");
            // Opaque, as it is written with an alpha channel.
            let label = Label { text: String::new(), font_points };
            Node { place, tooltip, color: format!("{}ff", block.color), label, picture_label: Label::default() }
        }
        Content::Buffer(at) => {
            let buffer = program.buffer(at);
            let (name, shape) = program.name_and_shape(at);
            let tooltip = format!(
                "buffer_id:{}\nhlo_op:{name}\nshape:{shape}\nsize:{}\nunpadded_size:{}\noffset:{}\nspan:({},{})",
                buffer.logical.id,
                buffer.logical.size_bytes,
                buffer.unpadded_bytes,
                buffer.offset_bytes,
                block.start,
                block.end,
            );
            let wide = place.width / (LETTER_WIDTH * name.len().max(1) as f64);
            let picture_points = wide.min(0.6 * place.height).clamp(8.0, MAX_PICTURE_POINTS);
            let label = Label::new(&name, place, font_points);
            let picture_label = Label::new(&name, place, picture_points);
            Node { place, tooltip, color: block.color.clone(), label, picture_label }
        }
    }
}

/// As much of a name as fits into a rectangle, empty if too little does.
fn fitting(name: &str, place: Rectangle, font_points: f64) -> String {
    let (width, height) = (place.width - 2.0 * LABEL_MARGIN, place.height - 2.0 * LABEL_MARGIN);
    let letter = LETTER_WIDTH * font_points;
    if height < LINE_HEIGHT * font_points || width < letter {
        return String::new();
    }
    let n = (width / letter) as usize;
    if name.len() <= n {
        name.to_owned()
    } else if n >= 4 {
        format!("{}...", &name[..name.floor_char_boundary(n - 3)])
    } else {
        String::new()
    }
}

fn dot(nodes: &[Node]) -> String {
    let mut dot = String::from(
        "graph G {\n epsilon=0.5 \n inputscale=72 \n node [shape=box,style=filled,fontname=\"Arial\",margin=\"0.02,0.02\"];\n  ",
    );
    for (n, node) in nodes.iter().enumerate() {
        let Rectangle { left, bottom, width, height } = node.place;
        // Writing to a String cannot fail.
        let _ = writeln!(
            dot,
            "\"{n}\" [tooltip=\"{}\", pos=\"{:.2},{:.2}!\", width=\"{:.4}\", height=\"{:.4}\", fixedsize=true, color=\"{}\", \
             fontsize={:.1}, label=\"{}\"];",
            escape_dot(&node.tooltip),
            left + width / 2.0,
            bottom + height / 2.0,
            width / POINTS_PER_INCH,
            height / POINTS_PER_INCH,
            node.color,
            node.label.font_points,
            escape_dot(&node.label.text),
        );
    }
    dot.push('}');
    dot
}

fn write_svg(out: &mut String, nodes: &[Node]) {
    let _ =
        writeln!(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-8 -8 {0} {0}\">", DRAWING_POINTS + 16.0);
    for node in nodes {
        let Rectangle { left, bottom, width, height } = node.place;
        // Addresses grow upwards, as in the graph.
        let top = DRAWING_POINTS - bottom - height;
        let _ = write!(
            out,
            "<g class=\"node\"><title>{}</title><rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             fill=\"{}\"/>",
            escape_xml(&node.tooltip),
            node.color,
        );
        if !node.picture_label.text.is_empty() {
            let _ = write!(
                out,
                "<text x=\"{:.2}\" y=\"{:.2}\" font-size=\"{:.1}\">{}</text>",
                left + width / 2.0,
                top + height / 2.0,
                node.picture_label.font_points,
                escape_xml(&node.picture_label.text),
            );
        }
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
}

/// Text between quotes in DOT.
fn escape_dot(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Appends text that stands between backticks in a script of a page.
fn push_script_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' | '`' | '$' => out.extend(['\\', c]),
            // Nothing in it can end the script.
            '<' => out.push_str("\\x3c"),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Diag;
    use crate::tools::memory_viewer::report::Report;
    use crate::tools::memory_viewer::testing::Memory;

    fn with_blocks(memory: Memory) -> (Program, Blocks) {
        let (program, _) = memory.program();
        let report = Report::of(&program, 0, &mut Diag::new()).expect("no contradiction");
        let blocks = Blocks::of(&program, &report);
        (program, blocks)
    }

    #[test]
    fn draws_what_can_be_seen() {
        // Two of four events wide, and half of the addresses high; buffer 2 is a 10000th high.
        let memory = Memory::default()
            .buffer(1, 10_000, 3, &[])
            .buffer(2, 2, 1, &[])
            .allocation(0, 20_000, &[], &[(1, 5000), (2, 0)])
            .trace("+2 +1 -2 -1");
        let (program, blocks) = with_blocks(memory);
        let expect = r##"graph G {
 epsilon=0.5 
 inputscale=72 
 node [shape=box,style=filled,fontname="Arial",margin="0.02,0.02"];
  "0" [tooltip="buffer_allocation_id:0
size:20000
buffer_counts:2
", pos="2048.00,2048.00!", width="56.8889", height="56.8889", fixedsize=true, color="#ffffffff", fontsize=14.0, label=""];
"1" [tooltip="buffer_id:1
hlo_op:big
shape:f32[8192]{0}
size:10000
unpadded_size:32768
offset:5000
span:(1,3)", pos="2048.00,2048.00!", width="28.4444", height="28.4444", fixedsize=true, color="#2196f3", fontsize=14.0, label="big"];
}"##;
        assert_eq!(dot(&nodes(&program, &blocks)), expect);
        assert_eq!(blocks.list.len(), 3, "JSON has the small one too");
        let page = page(&program, &blocks);
        assert!(page.contains(r##"<rect x="1024.00" y="1024.00" width="2048.00" height="2048.00" fill="#2196f3"/>"##));
        assert!(!page.contains("http") || page.matches("http").count() == 1, "only the name of SVG: {page}");
    }

    #[test]
    fn says_that_there_is_nothing() {
        let nothing = [
            Memory::default(),
            Memory::default().buffer(1, 9, 1, &[]).allocation(0, 0, &[], &[(1, 0)]).trace("+1"),
            Memory::default().buffer(1, 9, 1, &[]).allocation(0, 9, &[], &[(1, 0)]),
        ];
        for memory in nothing {
            let (program, blocks) = with_blocks(memory);
            assert_eq!(page(&program, &blocks), EMPTY_PAGE);
        }
    }

    #[test]
    fn fits_labels() {
        let check = |width: f64, height: f64, expect: &str| {
            let place = Rectangle { left: 0.0, bottom: 0.0, width, height };
            assert_eq!(fitting("fusion.17", place, 10.0), expect, "{width} × {height}");
        };
        // A letter is 5.5 points wide, a line 12 high.
        check(2.88 + 9.0 * 5.5 + 0.1, 15.0, "fusion.17");
        check(2.88 + 8.0 * 5.5 + 0.1, 15.0, "fusio...");
        check(2.88 + 4.0 * 5.5 + 0.1, 15.0, "f...");
        check(2.88 + 3.0 * 5.5 + 0.1, 15.0, "");
        check(100.0, 14.8, "");
    }

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(escape_dot("a\"b\\"), "a\\\"b\\\\");
        assert_eq!(escape_xml("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
        let mut script = String::new();
        push_script_text(&mut script, "`${x}\\</script>");
        assert_eq!(script, "\\`\\${x}\\\\\\x3c/script>");
    }
}
