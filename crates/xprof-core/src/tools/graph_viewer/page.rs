//! The page that shows a graph: laid out here, complete in itself, nothing is loaded from anywhere.

use super::graph::Drawing;
use super::svg;

/// Writes the page. The graph's DOT is in it as the reference has it, for those who take it from there.
pub(super) fn write(drawing: &Drawing) -> String {
    let dot = in_template(&drawing.dot());
    let notes = drawing.notes.iter().map(|note| format!("<p>{note}</p>")).collect::<Vec<_>>().concat();
    let title = drawing.title.join("<br>");
    let svg = svg::write(drawing);
    let page = include_str!("page.html");
    let mut out = String::with_capacity(page.len() + svg.len() + dot.len() + notes.len() + title.len());
    // Every part once, in the order of the page; what is put in is not searched again.
    let mut rest = page;
    for (mark, part) in [("{{title}}", &*title), ("{{notes}}", &notes), ("{{svg}}", &svg), ("{{dot}}", &dot)] {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        out.push_str(before);
        out.push_str(part);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A text that may stand between backticks in a script of a page.
fn in_template(text: &str) -> String {
    let plain = text.replace('\\', "\\\\").replace('`', "\\`").replace("${", "\\${").replace("<!--", "<\\!--");
    let mut out = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    // Only a tag named `script`, in any case, would end the script or change how it is read.
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let name = from[1..].trim_start_matches('/');
        let is_script = name.get(..6).is_some_and(|name| name.eq_ignore_ascii_case("script"));
        out.push_str(if is_script { "<\\" } else { "<" });
        rest = &from[1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        for (text, expect) in [
            ("a <b>x</b> -> c", "a <b>x</b> -> c"),
            ("`${x}` \\n", "\\`\\${x}\\` \\\\n"),
            ("</SCRIPT><script>", "<\\/SCRIPT><\\script>"),
            ("<!-- x", "<\\!-- x"),
        ] {
            assert_eq!(in_template(text), expect);
        }
    }
}
