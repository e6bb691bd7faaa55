//! What a client may ask the graph viewer for.

use crate::tools::Params;
use crate::tools::hlo_module::ModuleQuery;
use crate::{Error, Result};

/// What of the module is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The neighbourhood of a node, or a whole computation.
    Graph,
    /// Operands and users of an instruction, as JSON.
    AdjacentNodes,
    /// The body of a custom call.
    CustomCall,
    /// HLO text without large constants.
    ShortText,
    /// HLO text with everything.
    LongText,
    /// The proto as it is in the trace.
    Proto,
    /// The proto in protobuf's text format.
    ProtoText,
    /// The proto as protobuf JSON.
    Json,
}

impl Kind {
    const ALL: [(&'static str, Self); 8] = [
        ("adj_nodes", Self::AdjacentNodes),
        ("custom_call", Self::CustomCall),
        ("graph", Self::Graph),
        ("json", Self::Json),
        ("long_txt", Self::LongText),
        ("pb", Self::Proto),
        ("pbtxt", Self::ProtoText),
        ("short_txt", Self::ShortText),
    ];

    /// MIME type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            // `parity:` also for a graph in DOT.
            Self::Graph => "text/html",
            Self::AdjacentNodes | Self::CustomCall => "text/plain",
            Self::Json => "application/json",
            Self::ShortText | Self::LongText | Self::Proto | Self::ProtoText => "application/octet-stream",
        }
    }
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// A page that shows it.
    Html,
    /// Graphviz' language.
    Dot,
}

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which module.
    pub module: ModuleQuery,
    /// What of it, if the client says so.
    pub kind: Option<Kind>,
    /// An instruction or computation, as the client wrote it.
    pub node: String,
    /// How far around the node, in edges.
    pub width: u32,
    /// How a graph is written.
    pub format: GraphFormat,
    /// Whether texts show metadata, and graphs the backend's configuration.
    pub show_metadata: bool,
    /// Whether fusions are drawn as one node.
    pub merge_fusion: bool,
}

/// The distance where none is given.
const DEFAULT_WIDTH: u32 = 3;

impl Options {
    /// All parameters.
    pub const PARAMS: &'static [&'static str] =
        &["format", "graph_width", "merge_fusion", "module_name", "node_name", "program_id", "show_metadata", "type"];

    /// Reads the parameters. While a trace is mapped only those that choose the module are there.
    pub fn read(params: &Params) -> Result<Self> {
        let kind = params.get("type").map(kind).transpose()?;
        let node = params.get("node_name").unwrap_or_default().to_owned();
        let by_node = matches!(kind, Some(Kind::Graph | Kind::AdjacentNodes | Kind::CustomCall));
        let mut module = ModuleQuery::read(params);
        if by_node {
            module.instruction.clone_from(&node);
        }
        let format = match params.get("format") {
            Some("html") => GraphFormat::Html,
            Some("dot") => GraphFormat::Dot,
            // The reference has no renderer for the default, `url`, and fails.
            Some(other) if kind == Some(Kind::Graph) => {
                return Err(Error::invalid("format", other, "it must be html or dot"));
            }
            _ => GraphFormat::Html,
        };
        // `parity:` anything but digits is as good as nothing, and only the very word `true` is true.
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let width = params.get("graph_width").filter(digits);
        Ok(Self {
            module,
            kind,
            node,
            width: width.map_or(DEFAULT_WIDTH, |text| text.parse().unwrap_or(u32::MAX)),
            format,
            show_metadata: params.get("show_metadata") == Some("true"),
            merge_fusion: params.get("merge_fusion") == Some("true"),
        })
    }
}

/// The kind of that name.
pub fn kind(name: &str) -> Result<Kind> {
    let known = Kind::ALL.into_iter().find(|(known, _)| *known == name);
    let names = || Kind::ALL.map(|(name, _)| name).join(", ");
    known.map(|(_, kind)| kind).ok_or_else(|| Error::invalid("type", name, &format!("it must be one of {}", names())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Options> {
        Options::read(&query.iter().copied().collect())
    }

    fn check_error(query: &[(&str, &str)], expect: &str) {
        assert_eq!(read(query).unwrap_err().to_string(), expect);
    }

    #[test]
    fn reads_what_is_wanted() {
        let all = read(&[("type", "graph"), ("format", "dot"), ("graph_width", "x"), ("node_name", "a")]).unwrap();
        assert_eq!((all.kind, all.format, all.width), (Some(Kind::Graph), GraphFormat::Dot, 3));
        assert_eq!((&*all.node, &*all.module.instruction), ("a", "a"));
        let text = read(&[("type", "long_txt"), ("show_metadata", "TRUE"), ("node_name", "a")]).unwrap();
        assert!(!text.show_metadata && text.module.instruction.is_empty());
        for (width, expect) in [("0", 0), ("7", 7), ("", 3), ("-1", 3), ("99999999999", u32::MAX)] {
            assert_eq!(read(&[("graph_width", width)]).unwrap().width, expect, "{width}");
        }
        check_error(&[("type", "graph"), ("format", "url")], "format=\"url\" is not valid: it must be html or dot");
        check_error(
            &[("type", "me_graph")],
            "type=\"me_graph\" is not valid: it must be one of adj_nodes, custom_call, graph, json, long_txt, pb, pbtxt, \
             short_txt",
        );
    }
}
