//! One HLO module of a trace: what tools that show programs are made from.
//!
//! Takes the metadata planes of one host, gives the proto that a request names. The bytes are those of the trace file; nothing
//! is written beside it. Of all hosts that hold the module, the first one counts.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustc_hash::FxHashSet;

use crate::artifact::Artifact;
use crate::hlo::{self, HloError, HloModule};
use crate::prep::Prepared;
use crate::prep::memo::Memoized;
use crate::prep::programs::programs;
use crate::tools::memory_viewer::program::Program;
use crate::tools::{Finished, HostPart, Params, Reduction};
use crate::xspace::XSpace;
use crate::{Diag, Error, Result};

/// The one module of a run whose traces hold no program: it is empty.
pub const NO_MODULE: &str = "NO_MODULE";

/// A built module takes roughly this many times the bytes of its proto; and so many what is read of its memory.
const BUILT_FACTOR: usize = 4;
const MEMORY_FACTOR: usize = 2;

/// Which module a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleQuery {
    /// `NAME(PROGRAM_ID)` as the list of modules has it; empty if not given. It comes before the id.
    pub name: String,
    /// The program id in decimal; empty if not given.
    pub program_id: String,
    /// Where neither is given: the module that has an instruction of this very name. Empty if not wanted.
    pub instruction: String,
}

impl ModuleQuery {
    /// The parameters that it is read from. Tools that set [`ModuleQuery::instruction`] name theirs besides.
    pub const PARAMS: [&'static str; 2] = ["module_name", "program_id"];

    /// Reads name and id. Whether one is given is checked only when the module is looked up: `parity:`.
    pub fn read(params: &Params) -> Self {
        let text = |name| params.get(name).unwrap_or_default().to_owned();
        Self { name: text("module_name"), program_id: text("program_id"), instruction: String::new() }
    }

    /// Whether a module of this name and id is meant, without regard to instructions.
    pub fn means(&self, name: &str, id: u64) -> bool {
        match (&*self.name, &*self.program_id) {
            ("", "") => false,
            ("", wanted) => wanted == id.to_string(),
            (wanted, _) => wanted == name,
        }
    }

    /// Whether the module of this `NAME(PROGRAM_ID)` is meant.
    pub fn means_full_name(&self, name: &str) -> bool {
        let id = name.strip_suffix(')').and_then(|name| name.rsplit_once('(')).and_then(|(_, id)| id.parse().ok());
        id.is_some_and(|id| self.means(name, id))
    }

    /// Whether neither a name nor an id is given.
    pub fn names_none(&self) -> bool {
        self.name.is_empty() && self.program_id.is_empty()
    }

    /// Why there is no such module.
    fn failure(&self) -> Error {
        Error::NotFound(match (&*self.name, &*self.program_id, &*self.instruction) {
            ("", "", "") => "name an HLO module by module_name or program_id".into(),
            ("", "", instruction) => format!("no HLO module of the trace has an instruction named {instruction}"),
            ("", id, _) => format!("the trace holds no HLO module with program id {id}"),
            (name, ..) => format!("the trace holds no HLO module named {name}"),
        })
    }
}

/// One module of a trace.
#[derive(Debug)]
pub struct TraceModule {
    /// `NAME(PROGRAM_ID)`.
    pub name: String,
    /// The id by which events refer to it.
    pub program_id: u64,
    /// Its `xla.HloProto`.
    pub proto: Bytes,
    built: OnceLock<Result<HloModule, HloError>>,
    memory: OnceLock<Result<(Arc<Program>, Diag), HloError>>,
}

impl TraceModule {
    fn new(name: String, program_id: u64, proto: Bytes) -> Self {
        Self { name, program_id, proto, built: OnceLock::new(), memory: OnceLock::new() }
    }

    /// The module, read and checked at the first question for it and then kept.
    pub fn built(&self) -> Result<&HloModule, &HloError> {
        self.built.get_or_init(|| HloModule::from_hlo_proto(&self.proto)).as_ref()
    }

    /// Its arrays and where they lie, read at the first question for them and then kept. Problems are counted each time.
    pub fn memory(&self, diag: &mut Diag) -> Result<Arc<Program>, &HloError> {
        let read = || {
            let mut diag = Diag::new();
            Program::read(&self.proto, &mut diag).map(|program| (Arc::new(program), diag))
        };
        let (program, problems) = self.memory.get_or_init(read).as_ref()?;
        diag.merge(problems);
        Ok(Arc::clone(program))
    }

    /// Roughly the bytes of memory held now beside the proto.
    fn derived_bytes(&self) -> usize {
        let factor = |is_there: bool, factor: usize| if is_there { factor } else { 0 };
        let factors =
            factor(self.built.get().is_some(), BUILT_FACTOR) + factor(self.memory.get().is_some(), MEMORY_FACTOR);
        self.proto.len() * factors
    }
}

/// All modules of a trace in its order. One program id and one name count once.
pub fn modules(space: &XSpace) -> impl Iterator<Item = TraceModule> {
    let mut ids = FxHashSet::default();
    let mut names = BTreeSet::new();
    programs(space).filter_map(move |program| {
        let name = format!("{}({})", hlo::module_name_of(&program.proto).ok()?, program.id);
        (ids.insert(program.id) && names.insert(name.clone()))
            .then(|| TraceModule::new(name, program.id, program.proto))
    })
}

/// The modules of a prepared trace, kept with it.
#[derive(Debug)]
struct TraceModules(Vec<Arc<TraceModule>>);

impl Memoized for TraceModules {
    fn weight(&self) -> usize {
        self.0.iter().map(|m| size_of::<TraceModule>() + m.derived_bytes()).sum()
    }
}

/// The modules of one host that a request may mean: the one that it names, or all where it names none.
#[derive(Debug, Clone, Default)]
pub struct HostModules(Vec<Arc<TraceModule>>);

impl Artifact for HostModules {
    const KIND: &'static str = "hlo_modules";
    const VERSION: u32 = 1;
    /// Modules are built at the first question.
    const IS_KEPT: bool = true;

    /// For each module three numbers of 8 bytes, its id and the lengths of what follows: its name, its proto.
    fn encode(&self) -> Vec<u8> {
        let size = self.0.iter().map(|m| 24 + m.name.len() + m.proto.len()).sum();
        let mut out = Vec::with_capacity(size);
        for module in &self.0 {
            for number in [module.program_id, module.name.len() as u64, module.proto.len() as u64] {
                out.extend(number.to_le_bytes());
            }
            out.extend(module.name.as_bytes());
            out.extend(&module.proto);
        }
        out
    }

    fn decode(mut bytes: Bytes) -> Result<Self> {
        let mut modules = Vec::new();
        while !bytes.is_empty() {
            let module = decode_module(&mut bytes)
                .ok_or_else(|| Error::BadArtifact { artifact: Self::KIND, reason: "it is cut or damaged".into() })?;
            modules.push(Arc::new(module));
        }
        Ok(Self(modules))
    }

    /// With all that questions may add to the modules: artifacts are weighed before anybody asks.
    fn weight(&self) -> usize {
        let factor = BUILT_FACTOR + MEMORY_FACTOR;
        self.0.iter().map(|m| size_of::<TraceModule>() + m.name.len() + m.proto.len() * factor).sum()
    }
}

/// Takes one module from the begin of an encoded artifact, `None` if it is damaged.
fn decode_module(bytes: &mut Bytes) -> Option<TraceModule> {
    let mut take = |n: u64| {
        let n = usize::try_from(n).ok().filter(|n| *n <= bytes.len())?;
        Some(bytes.split_to(n))
    };
    let mut number = || Some(u64::from_le_bytes(take(8)?.as_ref().try_into().ok()?));
    let (id, name_len, proto_len) = (number()?, number()?, number()?);
    let name = String::from_utf8(take(name_len)?.to_vec()).ok()?;
    Some(TraceModule::new(name, id, take(proto_len)?))
}

/// Map: finds the module in one host's trace. Only metadata is looked at.
pub fn map(host: &Prepared, query: &ModuleQuery) -> Result<HostModules> {
    let all = host.memo.get_or_make(|| Ok(TraceModules(modules(&host.space).map(Arc::new).collect())))?;
    if query.names_none() {
        return Ok(HostModules(all.0.clone()));
    }
    let found = all.0.iter().find(|m| query.means(&m.name, m.program_id)).cloned();
    let none = || {
        (query.name == NO_MODULE && all.0.is_empty())
            .then(|| Arc::new(TraceModule::new(NO_MODULE.into(), 0, Bytes::new())))
    };
    Ok(HostModules(found.or_else(none).into_iter().collect()))
}

/// Reduce: the module of the first host that has it. Where the request names no module, the first one that holds the
/// instruction it asks for.
#[derive(Debug)]
pub struct FirstModule {
    query: ModuleQuery,
    found: Option<Arc<TraceModule>>,
}

impl FirstModule {
    /// Looks for the module that a request names.
    pub fn new(query: &ModuleQuery) -> Self {
        Self { query: query.clone(), found: None }
    }

    fn is_wanted(&self, module: &TraceModule) -> bool {
        let wanted = &self.query.instruction;
        let holds = || module.built().is_ok_and(|module| module.find(wanted).is_some());
        !self.query.names_none() || (!wanted.is_empty() && holds())
    }

    /// The module.
    pub fn found(self) -> Result<Arc<TraceModule>> {
        self.found.ok_or_else(|| self.query.failure())
    }
}

impl Reduction for FirstModule {
    type Artifact = HostModules;
    type Whole = Arc<TraceModule>;

    fn add(&mut self, part: HostPart<HostModules>, _diag: &mut Diag) -> Result<()> {
        if self.found.is_none() {
            self.found = part.artifact.0.iter().find(|module| self.is_wanted(module)).cloned();
        }
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<Self::Whole, Self>> {
        self.found().map(Finished::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{PlaneBuilder, SpaceBuilder, V};
    use crate::reduction::reduce_all;
    use crate::xspace::TraceBytes;
    use crate::xspace::schema::plane_names;

    /// An `HloProto` with a module of that name.
    fn proto(name: &str) -> Vec<u8> {
        let mut out = vec![0x0a, name.len() as u8 + 2, 0x0a, name.len() as u8];
        out.extend(name.as_bytes());
        out
    }

    /// A host whose trace holds modules by name, program id and key.
    fn host(modules: &[(&str, Option<i64>, u64)]) -> Prepared {
        let mut plane = PlaneBuilder::new(0, plane_names::METADATA);
        for (name, id, key) in modules {
            let bytes = proto(name);
            let mut stats = vec![("Hlo Proto", V::Bytes(&bytes))];
            stats.extend(id.map(|id| ("program_id", V::Int(id))));
            plane.define_event(&format!("entry {key}"), "", &stats, Some(*key));
        }
        let mut space = SpaceBuilder::new("h");
        space.plane(plane);
        Prepared::catalog(TraceBytes::new(space.finish().into()), "h", &mut Diag::new()).unwrap()
    }

    fn query(name: &str, program_id: &str) -> ModuleQuery {
        ModuleQuery { name: name.into(), program_id: program_id.into(), ..ModuleQuery::default() }
    }

    /// What a request finds, by name, over hosts that travel as bytes.
    fn check(hosts: &[&Prepared], query: &ModuleQuery, expect: Result<&str, &str>) {
        let parts = hosts.iter().map(|host| {
            let bytes = map(host, query).unwrap().encode();
            HostPart { host: "h".into(), artifact: Arc::new(HostModules::decode(bytes.into()).unwrap()) }
        });
        let parts: Vec<_> = parts.collect();
        let found = reduce_all(FirstModule::new(query), &parts, &mut Diag::new())
            .map(|m| m.name.clone())
            .map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(|e| &**e), expect);
    }

    #[test]
    fn finds_modules_by_name_and_id() {
        let one = host(&[("jit_f", Some(-3), 1), ("jit_f", None, 12), ("late", Some(12), 13)]);
        let two = host(&[("jit_g", None, 1)]);
        check(&[&one], &query("jit_f(12)", ""), Ok("jit_f(12)"));
        check(&[&one], &query("jit_f(18446744073709551613)", "12"), Ok("jit_f(18446744073709551613)"));
        check(&[&one], &query("", "12"), Ok("jit_f(12)"));
        check(&[&one, &two], &query("", "1"), Ok("jit_g(1)"));
        check(&[&one], &query("", "1"), Err("the trace holds no HLO module with program id 1"));
        check(&[&one], &query("jit_f", ""), Err("the trace holds no HLO module named jit_f"));
        check(&[&one], &query("late(12)", ""), Err("the trace holds no HLO module named late(12)"));
        check(&[&one], &query("../jit_f(12)", ""), Err("the trace holds no HLO module named ../jit_f(12)"));
        check(&[&one], &query("", ""), Err("name an HLO module by module_name or program_id"));
        check(&[&one], &query(NO_MODULE, ""), Err("the trace holds no HLO module named NO_MODULE"));
        check(&[&host(&[])], &query(NO_MODULE, ""), Ok(NO_MODULE));
    }

    #[test]
    fn refuses_damaged_artifacts() {
        let whole = map(&host(&[("m", None, 7)]), &query("", "7")).unwrap().encode();
        for end in 1..whole.len() {
            assert!(HostModules::decode(Bytes::copy_from_slice(&whole[..end])).is_err(), "{end}");
        }
        let huge = [&[0xff; 24][..], b"m"].concat();
        assert!(HostModules::decode(huge.into()).is_err());
    }

    #[test]
    fn shares_the_memory_of_the_trace() {
        let bytes = proto("m");
        let mut plane = PlaneBuilder::new(0, plane_names::METADATA);
        plane.define_event("m(7)", "", &[("Hlo Proto", V::Bytes(&bytes))], Some(7));
        let mut space = SpaceBuilder::new("h");
        space.plane(plane);
        let trace = Bytes::from(space.finish());
        let host = Prepared::catalog(TraceBytes::new(trace.clone()), "h", &mut Diag::new()).unwrap();
        let found = map(&host, &query("m(7)", "")).unwrap().0.remove(0);
        assert!(trace.as_ptr_range().contains(&found.proto.as_ptr()));
    }
}
