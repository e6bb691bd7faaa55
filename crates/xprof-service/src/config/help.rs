//! The clap command that a [`Program`] describes: its help teaches, its errors suggest.

use clap::{Arg, Command};

use super::key::BUILT_IN;
use super::{Key, Kind, Program};

/// Builds the command. It reads the output of [`super::normalise`].
pub(super) fn command(program: &Program) -> Command {
    let mut command = Command::new(program.name)
        .about(program.about)
        .after_help(program.examples)
        .version(crate::VERSION)
        .no_binary_name(true)
        .args_override_self(true)
        .next_line_help(true)
        .max_term_width(120);
    for group in program.groups {
        command = command.next_help_heading(group.title);
        for key in group.keys {
            command = command.arg(arg(key));
        }
    }
    command.next_help_heading("Configuration").args(BUILT_IN.iter().map(arg))
}

fn arg(key: &Key) -> Arg {
    let mut help = vec![key.help.to_string()];
    if !key.short.is_empty() {
        help.push(format!("[also: -{}]", key.short.join(", -")));
    }
    let env: Vec<String> = std::iter::once(key.env_name()).chain(key.env.iter().map(|n| (*n).into())).collect();
    help.push(format!("[env: {}]", env.join(", ")));
    if !key.default.is_empty() {
        help.push(format!("[default: {}]", key.default));
    }
    let help = help.join(" ");
    let arg = Arg::new(key.name).long(key.name).help(help).value_name(key.value).allow_hyphen_values(true);
    match key.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false"),
        Kind::Choice(words) => arg.value_name(words.join("|")),
        _ => arg,
    }
}
