//! Where the nodes, boxes and edges of a graph are on the page.
//!
//! Takes a drawing, gives coordinates in points, top to bottom along the edges. The work is bounded: a graph that is too
//! intricate for a good layout gets a plain one.

use dugong::graphlib::{Graph, GraphOptions};
use dugong::{EdgeLabel, GraphLabel, NodeLabel, WorkControl, WorkError, layout_controlled};
use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::{Cluster, Drawing, Item, Node, NodeKey};
use super::svg::text_size;

/// Space between nodes side by side, between rows, and inside the border of boxes.
const NODE_GAP: f64 = 24.0;
const ROW_GAP: f64 = 52.0;
const BOX_PADDING: f64 = 12.0;
/// Space around the text of a node.
const TEXT_PADDING: f64 = 10.0;

/// Steps of the layout before it is given up: about a second.
const MAX_WORK: usize = 60_000_000;
/// Nodes in a row of a plain layout.
const MAX_IN_ROW: usize = 16;

/// A point or a size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A rectangle by its corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) min: Point,
    pub(super) max: Point,
}

impl Area {
    const NONE: Self = Self {
        min: Point { x: f64::INFINITY, y: f64::INFINITY },
        max: Point { x: f64::NEG_INFINITY, y: f64::NEG_INFINITY },
    };

    fn around(centre: Point, size: Point) -> Self {
        let half = Point { x: size.x / 2.0, y: size.y / 2.0 };
        Self {
            min: Point { x: centre.x - half.x, y: centre.y - half.y },
            max: Point { x: centre.x + half.x, y: centre.y + half.y },
        }
    }

    fn include(&mut self, other: &Self) {
        self.min = Point { x: self.min.x.min(other.min.x), y: self.min.y.min(other.min.y) };
        self.max = Point { x: self.max.x.max(other.max.x), y: self.max.y.max(other.max.y) };
    }

    /// Its centre.
    pub(super) fn centre(&self) -> Point {
        Point { x: f64::midpoint(self.min.x, self.max.x), y: f64::midpoint(self.min.y, self.max.y) }
    }
}

/// Coordinates of a drawing.
#[derive(Debug)]
pub(super) struct Layout {
    /// All of it.
    pub(super) area: Area,
    /// The nodes.
    pub(super) nodes: FxHashMap<NodeKey, Area>,
    /// The boxes, by computation.
    pub(super) boxes: FxHashMap<u32, Area>,
    /// The corners of each edge, in the order of the drawing.
    pub(super) edges: Vec<Vec<Point>>,
}

/// Lays a drawing out.
pub(super) fn layout(drawing: &Drawing) -> Layout {
    let flat = Flat::of(drawing);
    let (nodes, edges) = layered(drawing, &flat).unwrap_or_else(|| plain(drawing, &flat));
    let mut area = Area::NONE;
    for node in nodes.values() {
        area.include(node);
    }
    let mut boxes = FxHashMap::default();
    for item in &drawing.items {
        if let Item::Cluster(cluster) = item {
            area.include(&box_area(cluster, &nodes, &mut boxes));
        }
    }
    for point in edges.iter().flatten() {
        area.include(&Area { min: *point, max: *point });
    }
    if drawing.items.is_empty() {
        area = Area { min: Point::default(), max: Point::default() };
    }
    Layout { area, nodes, boxes, edges }
}

/// All nodes in one list, each with the box that it is in, and the box of each box.
struct Flat<'a> {
    nodes: Vec<(&'a Node, Option<u32>)>,
    boxes: Vec<(u32, Option<u32>)>,
}

impl<'a> Flat<'a> {
    fn of(drawing: &'a Drawing) -> Self {
        let mut flat = Self { nodes: Vec::new(), boxes: Vec::new() };
        let mut open: Vec<(&Item, Option<u32>)> = drawing.items.iter().rev().map(|item| (item, None)).collect();
        while let Some((item, parent)) = open.pop() {
            match item {
                Item::Node(node) => flat.nodes.push((node, parent)),
                Item::Cluster(cluster) => {
                    flat.boxes.push((cluster.computation, parent));
                    open.extend(cluster.items.iter().rev().map(|item| (item, Some(cluster.computation))));
                }
            }
        }
        flat
    }
}

fn node_size(node: &Node) -> Point {
    let text = text_size(&node.lines);
    Point { x: text.x + 2.0 * TEXT_PADDING, y: text.y + 2.0 * TEXT_PADDING }
}

type Placed = (FxHashMap<NodeKey, Area>, Vec<Vec<Point>>);

/// Counts the steps of the layout.
struct Budget(usize);

impl WorkControl for Budget {
    fn charge(&mut self, units: usize) -> Result<(), WorkError> {
        self.0 = self.0.checked_sub(units).ok_or(WorkError::Interrupted)?;
        Ok(())
    }
}

/// A layered layout, `None` if it takes too long.
fn layered(drawing: &Drawing, flat: &Flat<'_>) -> Option<Placed> {
    let mut graph: Graph<NodeLabel, EdgeLabel, GraphLabel> =
        Graph::new(GraphOptions { directed: true, multigraph: true, compound: true });
    graph.set_graph(GraphLabel { nodesep: NODE_GAP, ranksep: ROW_GAP, edgesep: 8.0, ..GraphLabel::default() });
    graph.set_default_node_label(NodeLabel::default);
    graph.set_default_edge_label(EdgeLabel::default);
    let box_id = |computation: u32| format!("b{computation}");
    let node_id = |key: NodeKey| format!("n{key}");
    let with_nodes: FxHashSet<u32> = flat.nodes.iter().filter_map(|(_, parent)| *parent).collect();
    for &(computation, _) in flat.boxes.iter().filter(|(computation, _)| with_nodes.contains(computation)) {
        graph.set_node(box_id(computation), NodeLabel::default());
    }
    for &(computation, parent) in flat.boxes.iter().filter(|(computation, _)| with_nodes.contains(computation)) {
        if let Some(parent) = parent.filter(|parent| with_nodes.contains(parent)) {
            graph.set_parent(box_id(computation), box_id(parent));
        }
    }
    for (node, parent) in &flat.nodes {
        let size = node_size(node);
        graph.set_node(node_id(node.key), NodeLabel { width: size.x, height: size.y, ..NodeLabel::default() });
        if let Some(parent) = *parent {
            graph.set_parent(node_id(node.key), box_id(parent));
        }
    }
    for (n, edge) in drawing.edges.iter().enumerate() {
        let label = EdgeLabel { weight: 1.0, ..EdgeLabel::default() };
        graph.set_edge_named(node_id(edge.from), node_id(edge.to), Some(n.to_string()), Some(label));
    }
    layout_controlled(&mut graph, &mut Budget(MAX_WORK)).ok()?;
    let mut nodes = FxHashMap::default();
    for (node, _) in &flat.nodes {
        let placed = graph.node(&node_id(node.key))?;
        nodes.insert(node.key, Area::around(Point { x: placed.x?, y: placed.y? }, node_size(node)));
    }
    let path = |(n, edge): (usize, &super::graph::Edge)| {
        let label = graph.edge(&node_id(edge.from), &node_id(edge.to), Some(&n.to_string()))?;
        Some(label.points.iter().map(|p| Point { x: p.x, y: p.y }).collect())
    };
    let edges = drawing.edges.iter().enumerate().map(path).collect::<Option<_>>()?;
    Some((nodes, edges))
}

/// Rows in the order of the program, edges straight.
fn plain(drawing: &Drawing, flat: &Flat<'_>) -> Placed {
    let mut nodes = FxHashMap::default();
    let mut y = 0.0;
    for row in flat.nodes.chunks(MAX_IN_ROW) {
        let (mut x, mut height) = (0.0, 0.0f64);
        for (node, _) in row {
            let size = node_size(node);
            let centre = Point { x: x + size.x / 2.0, y: y + size.y / 2.0 };
            nodes.insert(node.key, Area::around(centre, size));
            x += size.x + NODE_GAP;
            height = height.max(size.y);
        }
        y += height + ROW_GAP;
    }
    let end = |key: &NodeKey| nodes.get(key).map(Area::centre).unwrap_or_default();
    let edges = drawing.edges.iter().map(|edge| vec![end(&edge.from), end(&edge.to)]).collect();
    (nodes, edges)
}

/// The area of a box: what is in it, with room for its title. Boxes are nested as deep as the drawing allows.
fn box_area(cluster: &Cluster, nodes: &FxHashMap<NodeKey, Area>, boxes: &mut FxHashMap<u32, Area>) -> Area {
    let mut area = Area::NONE;
    for item in &cluster.items {
        match item {
            Item::Node(node) => {
                if let Some(inside) = nodes.get(&node.key) {
                    area.include(inside);
                }
            }
            Item::Cluster(inner) => area.include(&box_area(inner, nodes, boxes)),
        }
    }
    if area.min.x > area.max.x {
        return area;
    }
    let title = text_size(&cluster.lines);
    area.min = Point { x: area.min.x - BOX_PADDING, y: area.min.y - BOX_PADDING - title.y };
    area.max = Point {
        x: (area.max.x + BOX_PADDING).max(area.min.x + title.x + 2.0 * BOX_PADDING),
        y: area.max.y + BOX_PADDING,
    };
    boxes.insert(cluster.computation, area);
    area
}
