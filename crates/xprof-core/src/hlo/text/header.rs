//! What the first lines of a module's text tell besides its name.

use bytes::Bytes;
use bytestring::ByteString;

use super::strings::json_or_quoted;
use super::writer::Writer;
use crate::hlo::HloError;
use crate::hlo::metadata::Span;
use crate::hlo::module::HloModule;
use crate::hlo::proto::{Ints, each_field, ints, push_ints, shared_bytes, text};
use crate::hlo::shape::Shape;
use crate::wire::Value;

/// A part of an argument: its number and the index of the part.
type Place = (i64, Ints);

/// The parts of a module proto that only text shows.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) is_scheduled: bool,
    /// Output index, the argument part that it shares memory with, the kind of the promise.
    aliases: Vec<(Ints, Place, i64)>,
    donors: Vec<Place>,
    pub(super) parameters: Vec<Shape>,
    pub(super) result: Shape,
    frontend: Vec<(ByteString, ByteString)>,
    pub(super) recoveries: Vec<Recovery>,
    debug: Vec<DebugAttribute>,
    backend_config: Span,
}

/// How a value that the compiler took away can be had again.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) old: ArrayPlace,
    pub(super) new: ArrayPlace,
    /// A module proto that computes it, if that takes one.
    pub(super) module: Option<Bytes>,
}

/// An instruction and a place in its value.
#[derive(Debug, Default)]
pub(super) struct ArrayPlace {
    instruction: String,
    index: Ints,
}

/// What is to be logged about a value.
#[derive(Debug, Default)]
struct DebugAttribute {
    place: ArrayPlace,
    log_mode: u64,
    callback_id: u64,
    op_id: u64,
    is_partitioned: bool,
}

impl Header {
    /// Reads the rest of the proto of a module.
    pub(super) fn of(module: &HloModule) -> Result<Self, HloError> {
        let owner = module.proto();
        let mut header = Self {
            is_scheduled: false,
            aliases: Vec::new(),
            donors: Vec::new(),
            parameters: Vec::new(),
            result: Shape::Tuple(Vec::new()),
            frontend: Vec::new(),
            recoveries: Vec::new(),
            debug: Vec::new(),
            backend_config: Span::default(),
        };
        each_field(&owner, |number, value| {
            let Value::Bytes(part) = value else { return Ok(()) };
            match number {
                4 => header.read_program_shape(part)?,
                7 => header.is_scheduled = true,
                8 => each_entry(part, |entry| {
                    header.aliases.push(alias(entry)?);
                    Ok(())
                })?,
                18 => each_entry(part, |entry| {
                    header.donors.push(place(entry, 1, 2)?);
                    Ok(())
                })?,
                19 => each_entry(part, |entry| {
                    header.frontend.push(crate::hlo::attribute::map_entry(&owner, entry)?);
                    Ok(())
                })?,
                20 => each_entry(part, |entry| {
                    header.recoveries.push(recovery(&owner, entry)?);
                    Ok(())
                })?,
                24 => header.debug.push(debug_attribute(part)?),
                25 => header.backend_config = module.span_of(part),
                _ => {}
            }
            Ok(())
        })?;
        header.aliases.sort();
        header.donors.sort();
        header.frontend.sort();
        Ok(header)
    }

    fn read_program_shape(&mut self, data: &[u8]) -> Result<(), HloError> {
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => self.parameters.push(Shape::from_proto(part)?),
                (2, Value::Bytes(part)) if !part.is_empty() => self.result = Shape::from_proto(part)?,
                _ => {}
            }
            Ok(())
        })
    }

    /// Outputs that share memory with arguments.
    pub(super) fn aliases(&self, out: &mut Writer) {
        if self.aliases.is_empty() {
            return;
        }
        out.push(", input_output_alias={ ");
        out.list(", ", &self.aliases, |out, (output, argument, kind)| {
            out.braced(output);
            out.push(": (");
            place_text(out, argument);
            out.push(if *kind == 2 { ", must-alias)" } else { ", may-alias)" });
        });
        out.push(" }");
    }

    /// Arguments whose memory may be used for anything.
    pub(super) fn donors(&self, out: &mut Writer) {
        if self.donors.is_empty() {
            return;
        }
        out.push(", buffer_donor={ ");
        out.list(", ", &self.donors, |out, donor| {
            out.push("(");
            place_text(out, donor);
            out.push(")");
        });
        out.push(" }");
    }

    /// The attributes of the framework.
    pub(super) fn frontend(&self, out: &mut Writer) {
        if !self.frontend.is_empty() {
            out.push(", frontend_attributes={");
            out.list(",", &self.frontend, |out, (key, value)| {
                out.format(format_args!("{key}="));
                json_or_quoted(out, value.as_bytes());
            });
            out.push("}");
        }
    }

    /// What is to be logged, and the configuration of the backend.
    pub(super) fn rest(&self, out: &mut Writer, module: &HloModule) {
        if !self.debug.is_empty() {
            out.push(",\ndebug_attributes={\n");
            out.list(",\n", &self.debug, |out, attribute| {
                out.push("  ");
                attribute.place.print(out);
                out.push(":({");
                out.list(",", attribute.settings(), |out, (key, value)| out.format(format_args!("{key}={value}")));
                out.push("})");
            });
            out.push("\n}");
        }
        if !self.backend_config.is_empty() {
            out.push(", backend_config=");
            json_or_quoted(out, module.bytes(self.backend_config));
        }
    }
}

impl ArrayPlace {
    /// Appends `{"neg" {1,0}}`.
    pub(super) fn print(&self, out: &mut Writer) {
        out.format(format_args!("{{\"{}\"", self.instruction));
        if !self.index.is_empty() {
            out.push(" ");
            out.braced(&self.index);
        }
        out.push("}");
    }
}

impl DebugAttribute {
    /// Keys and values of what is set.
    fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        // parity: two of the modes have no word.
        let mode = match self.log_mode {
            1 => Some("default".to_owned()),
            2 => Some("fusion_debugger".to_owned()),
            _ => None,
        };
        let number = |n: u64| (n != 0).then(|| n.to_string());
        let partitioned = self.is_partitioned.then(|| "true".to_owned());
        [
            ("log_mode", mode),
            ("callback_id", number(self.callback_id)),
            ("partitioned", partitioned),
            ("op_id", number(self.op_id)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
    }
}

fn array_place(data: &[u8]) -> Result<ArrayPlace, HloError> {
    let mut place = ArrayPlace::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(name)) => text(name)?.clone_into(&mut place.instruction),
            (2, value) => push_ints(&mut place.index, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(place)
}

fn recovery(owner: &Bytes, data: &[u8]) -> Result<Recovery, HloError> {
    let mut recovery = Recovery::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => recovery.old = array_place(part)?,
            (2, Value::Bytes(part)) => recovery.new = array_place(part)?,
            (3, Value::Bytes(part)) => recovery.module = Some(shared_bytes(owner, part)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(recovery)
}

fn debug_attribute(data: &[u8]) -> Result<DebugAttribute, HloError> {
    let mut attribute = DebugAttribute::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => attribute.place = array_place(part)?,
            (2, Value::Bytes(part)) => each_field(part, |number, value| {
                match (number, value) {
                    (1, Value::Varint(v)) => attribute.log_mode = v,
                    (2, Value::Varint(v)) => attribute.callback_id = v,
                    (3, Value::Varint(v)) => attribute.op_id = v,
                    (4, Value::Varint(v)) => attribute.is_partitioned = v != 0,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(attribute)
}

/// Calls `visit` with each element of field 1.
fn each_entry(data: &[u8], mut visit: impl FnMut(&[u8]) -> Result<(), HloError>) -> Result<(), HloError> {
    each_field(data, |number, value| match (number, value) {
        (1, Value::Bytes(entry)) => visit(entry),
        _ => Ok(()),
    })
}

fn place_text(out: &mut Writer, (number, index): &Place) {
    out.format(format_args!("{number}, "));
    out.braced(index);
}

fn place(data: &[u8], number_field: u32, index_field: u32) -> Result<Place, HloError> {
    let (mut parameter, mut index) = (0, Ints::new());
    each_field(data, |number, value| {
        match value {
            Value::Varint(v) if number == number_field => parameter = v as i64,
            value if number == index_field => push_ints(&mut index, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((parameter, index))
}

fn alias(data: &[u8]) -> Result<(Ints, Place, i64), HloError> {
    let (mut output, mut kind) = (Ints::new(), 0);
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => output.extend(ints(value)?),
            (4, Value::Varint(v)) => kind = v as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok((output, place(data, 2, 3)?, kind))
}
