//! A graph ready to be written: plain lists of nodes, clusters and edges, and DOT made of them.

use std::fmt::Write as _;

use super::style::Style;

/// Stands for a node in DOT and on the page: unique, and the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKey {
    /// An instruction, by its number in the module.
    Instruction(usize),
    /// The mark of the result.
    Root,
}

impl std::fmt::Display for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Numbers begin at 1.
            Self::Instruction(number) => write!(f, "{}", number + 1),
            Self::Root => write!(f, "cluster_root"),
        }
    }
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Which.
    pub key: NodeKey,
    /// The lines inside it, in the markup of DOT: `<b>`, `<i>`, and entities for markup characters.
    pub lines: Vec<String>,
    /// The text shown when it is pointed at, in entities.
    pub tooltip: String,
    /// How it looks.
    pub style: Style,
}

/// A box around nodes.
#[derive(Debug)]
pub struct Cluster {
    /// Position of the computation that it stands for.
    pub computation: u32,
    /// The lines on top of it.
    pub lines: Vec<String>,
    /// Whether it stands in for the centre.
    pub is_centre: bool,
    /// Whether it is the body of a fusion.
    pub is_fusion: bool,
    /// What is in it.
    pub items: Vec<Item>,
}

/// A thing in a graph or cluster.
#[derive(Debug)]
pub enum Item {
    /// A node.
    Node(Node),
    /// A box.
    Cluster(Cluster),
}

/// An edge.
#[derive(Debug)]
pub struct Edge {
    /// Where it begins.
    pub from: NodeKey,
    /// Where it ends.
    pub to: NodeKey,
    /// `a -> b` by names, a blank for the mark of the result.
    pub tooltip: String,
    /// What it carries.
    pub kind: EdgeKind,
}

/// What an edge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// A value; whether it is small, and which operand it is where there are several.
    Value {
        /// Fewer than 4096 elements.
        is_small: bool,
        /// The operand's number.
        operand: Option<usize>,
    },
    /// An order of execution.
    Control {
        /// Whether the value of what comes first is small.
        is_small: bool,
    },
    /// A computation belongs to the instruction that calls it.
    Call {
        /// The computation.
        computation: u32,
    },
    /// The result.
    Root,
}

/// The whole graph.
#[derive(Debug)]
pub struct Drawing {
    /// The lines of its title.
    pub title: Vec<String>,
    /// What is in it.
    pub items: Vec<Item>,
    /// Its edges.
    pub edges: Vec<Edge>,
    /// What was left out, in sentences.
    pub notes: Vec<String>,
}

impl Drawing {
    /// The graph in Graphviz' language.
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph G {\nrankdir = TB;\ncompound = true;\n");
        let title = self.title.join("<br/>");
        put(&mut out, format_args!("label = <<b>{title}</b>>;\nlabelloc = t;\ntooltip = \" \";\n"));
        for note in &self.notes {
            put(&mut out, format_args!("// {note}\n"));
        }
        out.push('\n');
        items(&mut out, &self.items);
        let mut first = true;
        for edge in &self.edges {
            out.push_str(if std::mem::replace(&mut first, false) { "" } else { "\n" });
            self::edge(&mut out, edge);
        }
        out.push_str("\n}");
        out
    }
}

/// Writing to a String cannot fail.
fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// A step on the way through nested boxes.
enum Step<'a> {
    Item(&'a Item),
    End(u32),
}

fn items(out: &mut String, items: &[Item]) {
    let mut open: Vec<Step<'_>> = items.iter().rev().map(Step::Item).collect();
    while let Some(step) = open.pop() {
        match step {
            Step::Item(Item::Node(node)) => self::node(out, node),
            Step::Item(Item::Cluster(cluster)) => {
                begin_cluster(out, cluster);
                open.push(Step::End(cluster.computation));
                open.extend(cluster.items.iter().rev().map(Step::Item));
            }
            Step::End(computation) => put(out, format_args!("}}  // cluster_{computation}\n\n")),
        }
    }
}

fn node(out: &mut String, node: &Node) {
    put(
        out,
        format_args!(
            "{} [label=<{}>, shape={}, tooltip=\"{}\", {}];\n",
            node.key,
            node.lines.join("<br/>"),
            node.style.shape.name(),
            node.tooltip,
            node.style.attributes(),
        ),
    );
}

fn begin_cluster(out: &mut String, cluster: &Cluster) {
    put(out, format_args!("subgraph cluster_{} {{\n", cluster.computation));
    if cluster.is_fusion {
        let (fill, border) = cluster.colours();
        put(out, format_args!("style=\"rounded,filled,bold\"; fillcolor=\"{fill}\"; color=\"{border};\"\n"));
    } else {
        out.push_str("style=rounded; color=black;\n");
    }
    put(out, format_args!("label = <{}>;\nlabelloc = t;\ntooltip = \" \";\n", cluster.lines.join("<br/>")));
}

impl Cluster {
    /// Fill and border of the body of a fusion.
    pub fn colours(&self) -> (&'static str, &'static str) {
        if self.is_centre { ("#ffcdd2", "#b71c1c") } else { ("#f5f5f5", "#c2c2c2") }
    }
}

fn edge(out: &mut String, edge: &Edge) {
    let Edge { from, to, tooltip, kind } = edge;
    match kind {
        EdgeKind::Root => put(out, format_args!("{from} -> {to} [tooltip=\" \"];")),
        EdgeKind::Call { computation } => {
            let cluster = format_args!("ltail=\"cluster_{computation}\", style=\"dashed\"");
            put(out, format_args!("{from} -> {to} [{cluster} tooltip=\"{tooltip}\"];"));
        }
        EdgeKind::Control { is_small } => {
            let head = if *is_small { "empty" } else { "normal" };
            let style = "style=\"dotted\" color=\"gray\" label=\"ctrl\"";
            put(out, format_args!("{from} -> {to} [arrowhead={head} tooltip=\"{tooltip}\" {style}];"));
        }
        EdgeKind::Value { is_small, operand } => {
            let head = if *is_small { "empty" } else { "normal" };
            put(out, format_args!("{from} -> {to} [arrowhead={head} tooltip=\"{tooltip}\" "));
            if let Some(n) = operand {
                put(out, format_args!(" headlabel=\"{n}\", labeldistance=2"));
            }
            out.push_str("];");
        }
    }
}
