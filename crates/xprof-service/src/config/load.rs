//! Merges the layers into a program's own struct and remembers where each value came from.

use std::collections::{BTreeMap, HashMap};

use clap::error::ErrorKind;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Typed;
use super::{ConfigError, Key, Kind, Program, args, file, help};

/// What this process was started with. Tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The arguments without the program's name.
    pub args: Vec<String>,
    /// The environment.
    pub env: HashMap<String, String>,
}

impl Sources {
    /// The arguments and the environment of this process: the only place that reads them.
    pub fn from_process() -> Result<Self, ConfigError> {
        let args = std::env::args_os()
            .skip(1)
            .map(|a| a.into_string().map_err(|a| ConfigError(format!("the argument {} is not UTF-8", a.display()))))
            .collect::<Result<_, _>>()?;
        let env =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Ok(Self { args, env })
    }
}

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// `default`, the file's path, the variable's name or the flag.
    pub source: String,
}

/// A complete configuration.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// The program's struct.
    pub config: C,
    /// Every key, in the order of the help.
    pub effective: Vec<Setting>,
    /// What the user should know, to be logged as warnings once logging works.
    pub notes: Vec<String>,
}

impl<C> Loaded<C> {
    /// Every key on one line, for the log at start.
    pub fn one_line(&self) -> String {
        self.effective.iter().map(|s| format!("{}={}", s.key, s.value)).collect::<Vec<_>>().join(" ")
    }

    /// Every key on a line of its own with its source: `--print_config` and `/config` of the admin port.
    /// The output is a configuration file in TOML; keys without a value are comments.
    pub fn page(&self) -> String {
        page(&self.effective)
    }

    /// Where the value of a key came from: `default` if nobody set it.
    pub fn source_of(&self, key: &str) -> &str {
        self.effective.iter().find(|s| s.key == key).map_or("default", |s| &s.source)
    }
}

/// What to do after loading.
#[derive(Debug, Clone)]
pub enum Start<C> {
    /// Run with this configuration.
    Run(Box<Loaded<C>>),
    /// Print this text on standard output and exit with 0: `--help`, `--version`, `--print_config`.
    Print(String),
}

/// Reads all layers. Nothing but the configuration file is opened.
pub fn load<C: DeserializeOwned>(program: &Program, sources: &Sources) -> Result<Start<C>, ConfigError> {
    let matches = match help::command(program).try_get_matches_from(args::normalise(program, &sources.args)?) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Start::Print(error.render().to_string()));
        }
        Err(error) => {
            let text = error.render().to_string();
            return Err(ConfigError(text.trim_start_matches("error: ").trim_end().into()));
        }
    };
    let flag = |name: &str| matches.get_one::<String>(name).cloned();

    let mut layers = Layers::default();
    for key in program.keys() {
        layers.set(key, "default", "default", key.default)?;
    }
    if let Some(path) = flag("config").or_else(|| sources.env.get("XPROF_CONFIG").filter(|p| !p.is_empty()).cloned()) {
        for (key, text) in file::read(program, &path)? {
            layers.set(key, &format!("{} in {path}", key.name), &path, &text)?;
        }
    }
    for key in program.keys() {
        layers.environment(key, sources)?;
    }
    for key in program.keys() {
        if let Some(text) = flag(key.name) {
            let spelled = format!("--{}", key.name);
            layers.set(key, &spelled, &spelled, &text)?;
        }
    }
    let effective = program.keys().filter_map(|k| layers.settings.get(k.name).cloned()).collect::<Vec<_>>();
    let print =
        flag("print_config").or_else(|| sources.env.get("XPROF_PRINT_CONFIG").filter(|p| !p.is_empty()).cloned());
    if print.is_some_and(|text| Kind::Switch.parse("--print_config", &text) == Ok(Typed::Bool(true))) {
        return Ok(Start::Print(page(&effective)));
    }
    let config =
        layers.figment.extract().map_err(|error| ConfigError(format!("the configuration is not complete: {error}")))?;
    Ok(Start::Run(Box::new(Loaded { config, effective, notes: layers.notes })))
}

#[derive(Default)]
struct Layers {
    figment: Figment,
    settings: BTreeMap<&'static str, Setting>,
    notes: Vec<String>,
}

impl Layers {
    fn set(&mut self, key: &'static Key, spelled: &str, source: &str, text: &str) -> Result<(), ConfigError> {
        if source == "default" && text.is_empty() && !matches!(key.kind, Kind::Text | Kind::List) {
            // No default: the field of the struct is an `Option`.
            self.settings.insert(key.name, Setting { key: key.name, value: String::new(), source: source.into() });
            return Ok(());
        }
        let value = key.kind.parse(spelled, text)?;
        let value = match value {
            Typed::Bool(b) => Value::from(b),
            Typed::Integer(n) => Value::from(n),
            Typed::Text(t) => Value::from(t),
            Typed::List(items) => Value::from(items),
        };
        // Merging replaces, and each layer comes after the weaker ones.
        self.figment = std::mem::take(&mut self.figment).merge(Serialized::global(key.name, value));
        self.settings.insert(key.name, Setting { key: key.name, value: text.into(), source: source.into() });
        Ok(())
    }

    fn environment(&mut self, key: &'static Key, sources: &Sources) -> Result<(), ConfigError> {
        let own = key.env_name();
        for name in key.env.iter().map(|n| (*n).to_string()).chain([own]) {
            // An empty variable means "not set": compose files and manifests cannot leave one out conditionally.
            let Some(text) = sources.env.get(&name).filter(|t| !t.is_empty()) else {
                continue;
            };
            // Kubernetes describes a service named `xprof` to every pod as XPROF_PORT=tcp://10.0.0.1:8791.
            if matches!(key.kind, Kind::Integer(..)) && (text.starts_with("tcp://") || text.starts_with("udp://")) {
                self.notes.push(format!("{name}={text} is ignored: it describes a Kubernetes service of that name"));
                continue;
            }
            self.set(key, &name, &name, text)?;
        }
        Ok(())
    }
}

fn page(effective: &[Setting]) -> String {
    let line = |setting: &Setting| {
        let value = serde_json::Value::from(setting.value.as_str());
        let comment = if setting.value.is_empty() { "# " } else { "" };
        format!("{comment}{} = {value} # {}\n", setting.key, setting.source)
    };
    effective.iter().map(line).collect()
}
