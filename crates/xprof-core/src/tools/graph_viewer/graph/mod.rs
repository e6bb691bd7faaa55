//! A module as a graph that people can read: what is around a node, drawn in the reference's terms.
//!
//! Takes a module and what is asked for, gives a [`Drawing`]: nodes, edges and clusters with labels and styles, ready to be
//! written as DOT or laid out. Only what is near is drawn, and never more than people can look at.

mod backend;
mod draw;
mod drawing;
mod filter;
mod inline;
mod label;
pub mod program;
mod style;

pub use draw::draw;
pub use drawing::{Cluster, Drawing, Edge, EdgeKind, Item, Node, NodeKey};
pub use style::Outline;
