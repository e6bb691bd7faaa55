//! What the definitions say about messages: names, numbers and types of fields.

use std::sync::OnceLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use rustc_hash::FxHashMap;

/// All messages and enums of one package.
#[derive(Debug, Default)]
pub(super) struct Schema {
    messages: Vec<Message>,
    enums: Vec<FxHashMap<i64, String>>,
    names: FxHashMap<String, usize>,
    enum_names: FxHashMap<String, usize>,
}

/// One message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Sorted by number.
    fields: Vec<Field>,
    /// Whether it is an entry of a map: then a key and a value.
    pub(super) is_map_entry: bool,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) json_name: String,
    pub(super) kind: Kind,
    pub(super) is_repeated: bool,
    /// Whether a value that is there is shown even if it is the default.
    pub(super) has_presence: bool,
    /// The group of fields of which only one can be set.
    pub(super) oneof: Option<i32>,
}

/// The type of a field. Messages and enums by their place in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Int32,
    Uint,
    Uint32,
    Bool,
    Float,
    Double,
    Text,
    Bytes,
    Enum(usize),
    Message(usize),
}

impl Kind {
    /// Whether values of this type may be packed: several in one occurrence.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::Bytes | Self::Message(_))
    }
}

impl Schema {
    /// The definitions that this program was built with.
    pub(super) fn get() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            // The set is made by the build; a test reads it.
            let set = FileDescriptorSet::decode(xprof_proto::DESCRIPTOR_SET).unwrap_or_default();
            Self::of(&set)
        })
    }

    fn of(set: &FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        let files = || set.file.iter().filter(|file| file.package() == "xla");
        for file in files() {
            let scope = format!(".{}", file.package());
            file.enum_type.iter().for_each(|e| schema.add_enum(&scope, e));
            file.message_type.iter().for_each(|m| schema.name_message(&scope, m));
        }
        for file in files() {
            let scope = format!(".{}", file.package());
            file.message_type.iter().for_each(|m| schema.fill_message(&scope, m));
        }
        schema
    }

    fn add_enum(&mut self, scope: &str, definition: &EnumDescriptorProto) {
        // Of several names of one number the first counts.
        let values = definition.value.iter().rev().map(|v| (i64::from(v.number()), v.name().to_owned()));
        self.enum_names.insert(format!("{scope}.{}", definition.name()), self.enums.len());
        self.enums.push(values.collect());
    }

    /// The recursion follows the definitions, which are ours.
    fn name_message(&mut self, scope: &str, definition: &DescriptorProto) {
        let name = format!("{scope}.{}", definition.name());
        definition.enum_type.iter().for_each(|e| self.add_enum(&name, e));
        definition.nested_type.iter().for_each(|m| self.name_message(&name, m));
        self.names.insert(name, self.messages.len());
        self.messages.push(Message::default());
    }

    fn fill_message(&mut self, scope: &str, definition: &DescriptorProto) {
        let name = format!("{scope}.{}", definition.name());
        definition.nested_type.iter().for_each(|m| self.fill_message(&name, m));
        let mut fields: Vec<Field> = definition.field.iter().filter_map(|f| self.field(f)).collect();
        fields.sort_by_key(|field| field.number);
        let is_map_entry = definition.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
        if let Some(message) = self.names.get(&name).and_then(|&at| self.messages.get_mut(at)) {
            *message = Message { fields, is_map_entry };
        }
    }

    fn field(&self, field: &FieldDescriptorProto) -> Option<Field> {
        let kind = match field.r#type() {
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint,
            Type::Bool => Kind::Bool,
            Type::Float => Kind::Float,
            Type::Double => Kind::Double,
            Type::String => Kind::Text,
            Type::Bytes => Kind::Bytes,
            Type::Enum => Kind::Enum(*self.enum_names.get(field.type_name())?),
            Type::Message => Kind::Message(*self.names.get(field.type_name())?),
            // HLO has no fields of the other types.
            Type::Sint32
            | Type::Sint64
            | Type::Fixed32
            | Type::Fixed64
            | Type::Sfixed32
            | Type::Sfixed64
            | Type::Group => {
                return None;
            }
        };
        let is_repeated = field.label() == Label::Repeated;
        Some(Field {
            number: u32::try_from(field.number()).ok()?,
            name: field.name().to_owned(),
            json_name: if field.json_name().is_empty() {
                camel_case(field.name())
            } else {
                field.json_name().to_owned()
            },
            kind,
            is_repeated,
            oneof: field.oneof_index,
            has_presence: field.oneof_index.is_some() || matches!(kind, Kind::Message(_)),
        })
    }

    /// A message by its full name.
    pub(super) fn message(&self, name: &str) -> Option<&Message> {
        self.names.get(name).map(|&at| self.at(at))
    }

    /// A message by its place.
    pub(super) fn at(&self, at: usize) -> &Message {
        &self.messages[at]
    }

    /// The name of an enum's value.
    pub(super) fn enum_name(&self, at: usize, number: i64) -> Option<&str> {
        self.enums.get(at)?.get(&number).map(String::as_str)
    }
}

impl Message {
    /// The field of that number.
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.binary_search_by_key(&number, |field| field.number).ok().and_then(|at| self.fields.get(at))
    }
}

/// `tuple_shapes` → `tupleShapes`.
fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_definitions() {
        let schema = Schema::get();
        let root = schema.message(super::super::ROOT).expect("the root");
        let module = root.field(1).expect("the module");
        assert_eq!((&*module.name, &*module.json_name), ("hlo_module", "hloModule"));
        let Kind::Message(at) = module.kind else { panic!("{:?}", module.kind) };
        assert!(schema.at(at).field(3).expect("computations").is_repeated);
        let shape = schema.message(".xla.ShapeProto").expect("shapes");
        let Some(Kind::Enum(element)) = shape.field(2).map(|f| f.kind) else { panic!("no element type") };
        assert_eq!(schema.enum_name(element, 11), Some("F32"));
        assert_eq!(schema.enum_name(element, 999), None);
        assert_eq!(camel_case("is_dynamic_dimension"), "isDynamicDimension");
    }
}
