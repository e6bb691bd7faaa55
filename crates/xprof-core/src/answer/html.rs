//! Text from a trace inside the markup of an answer.
//!
//! Takes text, gives text of which a browser takes no part for markup.

/// Appends `text`, escaped for the inside of elements and of quoted attributes.
pub fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let mut out = String::from("<b>");
        push_escaped(&mut out, "<img src='x' onerror=\"f()\"> & é");
        assert_eq!(out, "<b>&lt;img src=&#39;x&#39; onerror=&quot;f()&quot;&gt; &amp; é");
    }
}
