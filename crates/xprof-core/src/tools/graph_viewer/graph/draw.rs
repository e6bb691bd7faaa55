//! Draws a computation: nodes in the order of the proto, bodies of fusions and called computations in boxes, edges at the end.

use rustc_hash::{FxHashMap, FxHashSet};

use super::drawing::{Cluster, Drawing, Edge, EdgeKind, Item, Node, NodeKey};
use super::filter::{Filter, MAX_AROUND, MAX_USERS, Shown};
use super::program::{Named, Program, find};
use super::style::{self, Outline, Style};
use super::{inline, label};
use crate::Result;
use crate::hlo::{HloModule, InstructionRef, Opcode};
use crate::tools::graph_viewer::Options;

/// So many nodes are drawn at most, those in boxes included; and so many boxes.
const MAX_NODES: usize = 2 * MAX_AROUND;
/// So many edges are drawn at most.
const MAX_EDGES: usize = 10 * MAX_AROUND;
/// Boxes in boxes are drawn to this depth.
const MAX_DEPTH: u32 = 32;
/// Equal edges between two nodes: the first 65 are drawn.
const MAX_PARALLEL: u32 = 65;
/// Sentences about what was left out.
const MAX_NOTES: usize = 20;

/// Draws what the options ask for: a whole computation, or what is around an instruction.
pub fn draw(module: &HloModule, options: &Options) -> Result<Drawing> {
    let named = find(module, &options.node)?;
    let program = Program::new(module);
    let (filter, title) = match named {
        Named::Computation(at) => (Filter::everything(&program, at), String::new()),
        Named::Instruction(at) => {
            let title = format!("Neighborhood of {} nodes around {}", options.width, module_name(&program, at));
            (Filter::around(&program, at, options.width), title)
        }
    };
    let mut artist = Artist {
        has_statistics: module
            .computations
            .iter()
            .flat_map(|c| &c.instructions)
            .any(|i| i.statistics().is_some_and(|s| !s.values.is_empty())),
        options,
        drawn: FxHashSet::default(),
        boxes: FxHashSet::default(),
        edges: Vec::new(),
        parallel: FxHashMap::default(),
        n_nodes: 0,
        n_left_out: 0,
        n_edges_left_out: 0,
        program: &program,
        filter: &filter,
    };
    let mut items = artist.computation(filter.computation, 0);
    items.extend(artist.root_mark());
    let mut title = vec![title];
    title.extend(artist.title());
    let drawn = std::mem::take(&mut artist.drawn);
    artist.edges.retain(|e| drawn.contains(&e.from) && drawn.contains(&e.to));
    let (notes, edges) = (artist.notes(), artist.edges);
    Ok(Drawing { title, items, edges, notes })
}

fn module_name(program: &Program<'_>, at: InstructionRef) -> String {
    label::escape(&program.get(at).name)
}

/// Draws one computation and what it calls.
struct Artist<'a, 'm> {
    program: &'a Program<'m>,
    filter: &'a Filter,
    options: &'a Options,
    has_statistics: bool,
    /// Nodes that exist.
    drawn: FxHashSet<NodeKey>,
    /// Computations that have a box already.
    boxes: FxHashSet<u32>,
    edges: Vec<Edge>,
    parallel: FxHashMap<(NodeKey, NodeKey), u32>,
    n_nodes: usize,
    n_left_out: usize,
    n_edges_left_out: usize,
}

impl Artist<'_, '_> {
    /// The lines that say which computation is drawn.
    fn title(&self) -> Vec<String> {
        let (program, at) = (self.program, self.filter.computation);
        let name = label::escape(&program.computation(at).name);
        if let Some(fusion) = program.fusion_of(at) {
            return vec![format!("Computation {name} (in fusion instruction {})", module_name(program, fusion))];
        }
        let mut lines = vec![format!("Computation {name}")];
        let callers = program.callers(at);
        if at == program.module.entry {
            lines.push("ENTRY computation".into());
        } else if !callers.is_empty() {
            let names: Vec<String> = callers.iter().take(MAX_USERS).map(|&at| module_name(program, at)).collect();
            let more = if callers.len() > MAX_USERS { ", ..." } else { "" };
            lines.push(format!("Caller instructions: {}{more}", names.join(", ")));
        }
        lines
    }

    /// The items of a computation. The recursion is as deep as boxes are nested, which is bounded.
    fn computation(&mut self, at: u32, depth: u32) -> Vec<Item> {
        let mut items = Vec::new();
        for instruction in 0..self.program.computation(at).instructions.len() {
            let at = InstructionRef { computation: at, instruction: instruction as u32 };
            if !self.filter.shows(at) {
                continue;
            }
            for callee in self.program.get(at).called.clone() {
                if self.shows_inside(callee) {
                    items.extend(self.cluster(callee, at, depth).map(Item::Cluster));
                }
            }
            items.extend(self.node(at).map(Item::Node));
        }
        items
    }

    /// Whether a called computation gets a box.
    fn shows_inside(&self, computation: u32) -> bool {
        if let Some(fusion) = self.program.fusion_of(computation) {
            if !self.filter.shows(fusion) || self.filter.omits_operands(fusion) || self.options.merge_fusion {
                return false;
            }
        } else if inline::trivial_word(self.program.computation(computation)).is_some() {
            return false;
        }
        let n = self.program.computation(computation).instructions.len() as u32;
        computation != self.filter.computation
            || (0..n).any(|instruction| self.filter.shows(InstructionRef { computation, instruction }))
    }

    /// Whether a fusion is drawn as its body.
    fn is_opened(&self, at: InstructionRef) -> bool {
        let instruction = self.program.get(at);
        instruction.opcode == Opcode::Fusion
            && instruction.called.first().is_some_and(|&body| self.shows_inside(body) && self.boxes.contains(&body))
    }

    /// The box of a called computation, if there is none yet.
    fn cluster(&mut self, computation: u32, caller: InstructionRef, depth: u32) -> Option<Cluster> {
        let n_inside = self.program.computation(computation).instructions.len();
        if depth >= MAX_DEPTH || self.n_nodes.max(self.boxes.len()) >= MAX_NODES {
            self.n_left_out += n_inside;
            return None;
        }
        if !self.boxes.insert(computation) {
            return None;
        }
        let n_edges = self.edges.len();
        let items = self.computation(computation, depth + 1);
        let is_fusion = self.program.get(caller).opcode == Opcode::Fusion;
        let name = module_name(self.program, caller);
        let lines = if is_fusion {
            let category = crate::hlo::category::category(self.program.get(caller));
            let mut lines = vec![format!("Fused expression for <b>{name}</b>"), category.to_owned()];
            lines.extend(label::extra_info(self.program, caller, false));
            let config =
                super::backend::lines(self.program.module, self.program.get(caller), self.options.show_metadata);
            lines.extend(config);
            lines
        } else {
            let inside = &self.program.computation(computation).name;
            let from = self.source(self.program.root(computation));
            let tooltip = format!("{inside} -> {name}");
            let kind = EdgeKind::Call { computation };
            // Before the edges within.
            self.edges.insert(n_edges, Edge { from: self.key(from), to: self.key(caller), tooltip, kind });
            vec![format!("Subcomputation for <b>{name}</b>"), label::escape(inside)]
        };
        let is_centre = self.filter.shown(caller) == Shown::Centre;
        Some(Cluster { computation, lines, is_centre, is_fusion, items })
    }

    fn node(&mut self, at: InstructionRef) -> Option<Node> {
        if inline::has_no_node(self.program, self.filter, at) || self.is_opened(at) {
            return None;
        }
        if self.n_nodes >= MAX_NODES {
            self.n_left_out += 1;
            return None;
        }
        self.n_nodes += 1;
        self.incoming_edges(at);
        let key = self.key(at);
        self.drawn.insert(key);
        Some(Node {
            key,
            lines: label::lines(self.program, self.filter, at, self.options.show_metadata),
            tooltip: label::tooltip(self.program, at),
            style: self.style(at),
        })
    }

    fn key(&self, at: InstructionRef) -> NodeKey {
        NodeKey::Instruction(self.program.number(at))
    }

    fn style(&self, at: InstructionRef) -> Style {
        let instruction = self.program.get(at);
        let shown = self.filter.shown(at);
        let (fill, border, text) = match shown {
            Shown::Centre => style::CENTRE,
            Shown::SomeOperandsOmitted | Shown::OperandsOmitted | Shown::SomeUsersOmitted => style::DASHED,
            Shown::Normal | Shown::Hidden => self.colours(at),
        };
        let shape = match (shown, instruction.opcode) {
            (Shown::Centre, _) => Outline::Diamond,
            (_, Opcode::While) => Outline::Ellipse,
            _ => Outline::Rect,
        };
        let is_dashed = (fill, border, text) == style::DASHED;
        Style { shape, is_dashed, fill, border, text }
    }

    fn colours(&self, at: InstructionRef) -> style::Colours {
        let instruction = self.program.get(at);
        if self.has_statistics {
            return style::by_statistic(instruction).unwrap_or_else(style::without_statistic);
        }
        let is_small = inline::is_small(&instruction.shape);
        let is_spread = |operand: InstructionRef| self.filter.spreads(operand);
        if self.program.operands(at).any(is_spread) {
            return style::parameter(is_small);
        }
        let mut opcode = instruction.opcode;
        if matches!(opcode, Opcode::AsyncStart | Opcode::AsyncUpdate | Opcode::AsyncDone) {
            opcode = self.wrapped_opcode(at).unwrap_or(opcode);
        }
        style::by_opcode(opcode, self.program.fusion_of(at.computation).is_some(), is_small)
    }

    /// What an asynchronous instruction runs.
    fn wrapped_opcode(&self, mut at: InstructionRef) -> Option<Opcode> {
        while self.program.get(at).opcode != Opcode::AsyncStart {
            at = self.program.operand(at, 0)?;
            if !matches!(self.program.get(at).opcode, Opcode::AsyncStart | Opcode::AsyncUpdate) {
                return None;
            }
        }
        let &body = self.program.get(at).called.first()?;
        Some(self.program.computation(body).root().opcode)
    }

    /// The node that stands for a value: that of the tuple for a part of it, that of the root for an opened fusion.
    fn source(&self, mut at: InstructionRef) -> InstructionRef {
        if self.program.get(at).opcode == Opcode::GetTupleElement {
            at = self.program.operand(at, 0).unwrap_or(at);
        }
        // Bodies come before their fusions, so the chain ends.
        while self.is_opened(at) {
            match self.program.get(at).called.first() {
                Some(&body) => at = self.program.root(body),
                None => break,
            }
        }
        at
    }

    fn incoming_edges(&mut self, at: InstructionRef) {
        if let Some(given) = self.program.fused_operand(at) {
            // What is given to the computation that is drawn lies outside.
            if at.computation != self.filter.computation {
                self.edge(given, at, |_, is_small| EdgeKind::Value { is_small, operand: None });
            }
            return;
        }
        let operands = self.program.operands(at);
        let several = operands.len() > 1;
        for (n, operand) in operands.enumerate() {
            self.edge(operand, at, |_, is_small| EdgeKind::Value { is_small, operand: several.then_some(n) });
        }
        for predecessor in self.program.get(at).predecessors.clone() {
            let from = InstructionRef { computation: at.computation, instruction: predecessor };
            self.edge(from, at, |_, is_small| EdgeKind::Control { is_small });
        }
    }

    fn edge(&mut self, from: InstructionRef, to: InstructionRef, kind: impl Fn(&Self, bool) -> EdgeKind) {
        let from = self.source(from);
        if !self.filter.shows(from) || inline::has_no_edges(self.program, self.filter, from) {
            return;
        }
        if self.edges.len() >= MAX_EDGES {
            self.n_edges_left_out += 1;
            return;
        }
        let (from_key, to_key) = (self.key(from), self.key(to));
        let n = self.parallel.entry((from_key, to_key)).or_default();
        *n += 1;
        if *n > MAX_PARALLEL {
            return;
        }
        let kind = kind(self, inline::is_small(&self.program.get(from).shape));
        let tooltip = format!("{} -> {}", self.program.get(from).name, self.program.get(to).name);
        self.edges.push(Edge { from: from_key, to: to_key, tooltip, kind });
    }

    /// The mark of the result, if the result is shown.
    fn root_mark(&mut self) -> Option<Item> {
        let root = self.source(self.program.root(self.filter.computation));
        if !self.filter.shows(root) || self.program.get(root).opcode == Opcode::Constant {
            return None;
        }
        let (fill, border, text) = style::BROWN;
        let style = Style { shape: Outline::Circle, is_dashed: false, fill, border, text };
        self.drawn.insert(NodeKey::Root);
        let from = self.key(root);
        self.edges.push(Edge { from, to: NodeKey::Root, tooltip: " ".into(), kind: EdgeKind::Root });
        Some(Item::Node(Node { key: NodeKey::Root, lines: vec!["ROOT".into()], tooltip: " ".into(), style }))
    }

    /// What is not shown and would be looked for.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.filter.n_left_out > 0 {
            notes.push(format!(
                "The nearest {MAX_AROUND} instructions are shown; {} more, and what lies behind them, are left out.",
                self.filter.n_left_out
            ));
        }
        if self.n_left_out > 0 {
            notes.push(format!("{} nodes are shown, {} are left out.", self.n_nodes, self.n_left_out));
        }
        if self.n_edges_left_out > 0 {
            notes.push(format!("{} edges are shown, {} are left out.", self.edges.len(), self.n_edges_left_out));
        }
        for &at in &self.filter.crowded {
            if notes.len() >= MAX_NOTES {
                notes.push("More nodes have users that are not shown; they are dashed.".into());
                break;
            }
            let n = self.program.users(at).len();
            notes.push(format!(
                "{} has {n} users; those of nodes with more than {MAX_USERS} are left out.",
                self.program.get(at).name
            ));
        }
        notes
    }
}
