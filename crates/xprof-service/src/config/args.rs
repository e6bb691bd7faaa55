//! Brings every spelling of a flag that XProf 2.21 to 2.24 understood into one: `--name=value`.
//!
//! Takes the arguments as typed, gives arguments that clap reads. Unknown flags pass through so that clap can suggest
//! the nearest name. It must not judge values.
//!
//! ```text
//! server /logs 8791 -gp 50051 --noenable_tab_name_label -h
//!   → --logdir=/logs --port=8791 --grpc_port=50051 --enable_tab_name_label=false --hide_capture_profile_button=true
//! ```

use super::key::{BUILT_IN, same_name};
use super::{ConfigError, Key, Kind, Program};

/// The sub-command of XProf 2.23 and later; it changes what `-h` means.
const SUB_COMMAND: &str = "server";

/// Rewrites the arguments (without the program's name).
pub fn normalise(program: &Program, args: &[String]) -> Result<Vec<String>, ConfigError> {
    let has_sub_command = args.first().is_some_and(|a| a == SUB_COMMAND);
    let mut rewriter = Rewriter {
        program,
        has_sub_command,
        args: &args[usize::from(has_sub_command)..],
        next: 0,
        n_positional: 0,
        out: Vec::new(),
    };
    rewriter.run()?;
    Ok(rewriter.out)
}

struct Rewriter<'a> {
    program: &'a Program,
    has_sub_command: bool,
    args: &'a [String],
    next: usize,
    n_positional: usize,
    out: Vec<String>,
}

impl<'a> Rewriter<'a> {
    fn run(&mut self) -> Result<(), ConfigError> {
        let mut flags_ended = false;
        while let Some(arg) = self.take() {
            if flags_ended || arg == "-" || !arg.starts_with('-') {
                self.positional(arg)?;
            } else if arg == "--" {
                flags_ended = true;
            } else {
                self.flag(arg)?;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<&'a str> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        Some(arg)
    }

    fn positional(&mut self, arg: &str) -> Result<(), ConfigError> {
        let Some(name) = self.program.positional.get(self.n_positional) else {
            let known = self.program.positional.iter().map(|p| p.to_ascii_uppercase()).collect::<Vec<_>>().join(" ");
            return Err(ConfigError(if known.is_empty() {
                format!("unexpected argument {arg:?}: only flags are allowed, see --help")
            } else {
                format!("unexpected argument {arg:?}: besides flags only {known} may be given, see --help")
            }));
        };
        self.n_positional += 1;
        self.out.push(format!("--{name}={arg}"));
        Ok(())
    }

    fn flag(&mut self, arg: &str) -> Result<(), ConfigError> {
        let (dashes, body) = match arg.strip_prefix("--") {
            Some(body) => ("--", body),
            None => ("-", &arg[1..]),
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        // `-h` is help, but after the sub-command it has always been a flag of its own.
        if dashes == "-" && name == "h" && !self.has_sub_command {
            self.out.push("--help".into());
            return Ok(());
        }
        if let Some(key) = self.lookup(dashes, name) {
            return self.known(key, arg, value);
        }
        if let Some(key) = self.negated(name)
            && value.is_none()
        {
            self.out.push(format!("--{}=false", key.name));
            return Ok(());
        }
        if let Some((key, value)) = self.attached(dashes, body) {
            self.out.push(format!("--{}={value}", key.name));
            return Ok(());
        }
        self.out.push(if dashes == "-" && name.len() > 1 { format!("-{arg}") } else { arg.into() });
        Ok(())
    }

    fn lookup(&self, dashes: &str, name: &str) -> Option<&'static Key> {
        // python-fire takes one dash and two dashes alike, so both are tried with the likelier spelling first.
        let (short, long) = (self.program.short(name), self.program.key(name));
        let long = long.or_else(|| BUILT_IN.iter().find(|k| same_name(k.name, name)));
        if dashes == "-" { short.or(long) } else { long.or_else(|| short.filter(|_| name.len() > 1)) }
    }

    /// `--nohide_capture_profile_button`, also with `-` or `_` after `no`.
    fn negated(&self, name: &str) -> Option<&'static Key> {
        let rest = name.strip_prefix("no")?;
        let rest = rest.strip_prefix(['-', '_']).unwrap_or(rest);
        self.program.key(rest).filter(|k| k.kind == Kind::Switch)
    }

    /// `-p8791`: one letter with its number, as argparse allowed.
    fn attached<'b>(&self, dashes: &str, body: &'b str) -> Option<(&'static Key, &'b str)> {
        let digits = body.find(|c: char| c.is_ascii_digit()).filter(|_| dashes == "-")?;
        let key = self.program.short(&body[..digits])?;
        (key.kind != Kind::Switch && body[digits..].bytes().all(|b| b.is_ascii_digit()))
            .then_some((key, &body[digits..]))
    }

    fn known(&mut self, key: &Key, arg: &str, value: Option<&str>) -> Result<(), ConfigError> {
        let value = match value {
            Some(value) => value,
            None if key.kind == Kind::Switch => self.following_bool().unwrap_or("true"),
            None => self
                .following_value()
                .ok_or_else(|| ConfigError(format!("{arg} requires a value: it must be {}", key.kind.allowed())))?,
        };
        self.out.push(format!("--{}={value}", key.name));
        Ok(())
    }

    /// A switch takes the next argument only if it can be nothing else: `--flag True`.
    fn following_bool(&mut self) -> Option<&'a str> {
        let next = self.args.get(self.next)?;
        if next.eq_ignore_ascii_case("true") || next.eq_ignore_ascii_case("false") { self.take() } else { None }
    }

    /// A negative number is a value (to be refused later, by name), any other dash begins a flag.
    fn following_value(&mut self) -> Option<&'a str> {
        let next = self.args.get(self.next)?;
        let is_flag = next.starts_with('-') && !next[1..].starts_with(|c: char| c.is_ascii_digit()) && next != "-";
        if is_flag { None } else { self.take() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Group;
    use super::*;

    const KEYS: &[Key] = &[
        Key { name: "logdir", short: &["l"], ..Key::BLANK },
        Key { name: "port", short: &["p"], kind: Kind::Integer(1, 65535), ..Key::BLANK },
        Key { name: "grpc_port", short: &["g", "gp"], kind: Kind::Integer(1, 65535), ..Key::BLANK },
        Key { name: "hide_capture_profile_button", short: &["h", "hcpb"], kind: Kind::Switch, ..Key::BLANK },
        Key { name: "worker_service_address", short: &["w", "wsa"], kind: Kind::List, ..Key::BLANK },
        Key { name: "src_prefix", short: &["s", "spp"], ..Key::BLANK },
        Key { name: "max_concurrent_worker_requests", short: &["m"], kind: Kind::Integer(1, 100), ..Key::BLANK },
    ];
    const PROGRAM: Program = Program {
        name: "test",
        about: "",
        examples: "",
        groups: &[Group { title: "Flags", keys: KEYS }],
        positional: &["logdir", "port"],
    };

    fn check(typed: &str, expected: &str) {
        let args: Vec<String> = typed.split_whitespace().map(Into::into).collect();
        let got = match normalise(&PROGRAM, &args) {
            Ok(out) => out.join(" "),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, expected, "for: {typed}");
    }

    #[test]
    fn understands_the_spellings_of_all_releases() {
        for (typed, expected) in [
            ("", ""),
            ("server", ""),
            (
                "--port=9999 --grpc_port=8891 --hide_capture_profile_button",
                "--port=9999 --grpc_port=8891 --hide_capture_profile_button=true",
            ),
            ("--port 9999", "--port=9999"),
            ("--grpc-port=1", "--grpc_port=1"),
            ("--grpc-port 1 --grpc_port 2", "--grpc_port=1 --grpc_port=2"),
            ("-gp=50051", "--grpc_port=50051"),
            ("-gp 50051", "--grpc_port=50051"),
            ("server -g 50051", "--grpc_port=50051"),
            ("-g=1", "--grpc_port=1"),
            ("-p8791", "--port=8791"),
            ("-port=1", "--port=1"),
            ("--gp=1", "--grpc_port=1"),
            (
                "-wsa=a:1,b:2 -hcpb -spp /src",
                "--worker_service_address=a:1,b:2 --hide_capture_profile_button=true --src_prefix=/src",
            ),
            ("--worker_service_address=", "--worker_service_address="),
            ("--hide_capture_profile_button=False", "--hide_capture_profile_button=False"),
            ("--hide_capture_profile_button False --port 1", "--hide_capture_profile_button=False --port=1"),
            ("--nohide_capture_profile_button", "--hide_capture_profile_button=false"),
            ("--no-hide-capture-profile-button", "--hide_capture_profile_button=false"),
            ("server -h", "--hide_capture_profile_button=true"),
            ("-h", "--help"),
            ("--help", "--help"),
            ("server --help", "--help"),
            ("--config /etc/x.toml --print-config", "--config=/etc/x.toml --print_config=true"),
            ("/logs", "--logdir=/logs"),
            ("server /logs 8791", "--logdir=/logs --port=8791"),
            ("/logs --port 1", "--logdir=/logs --port=1"),
            ("-- -odd", "--logdir=-odd"),
            ("-m -1", "--max_concurrent_worker_requests=-1"),
            ("--bogus=1", "--bogus=1"),
            ("-bogus", "--bogus"),
            ("--logdir", "error: --logdir requires a value: it must be a text"),
            ("--port --logdir=x", "error: --port requires a value: it must be a whole number from 1 to 65535"),
            ("a 1 b", "error: unexpected argument \"b\": besides flags only LOGDIR PORT may be given, see --help"),
        ] {
            check(typed, expected);
        }
    }
}
