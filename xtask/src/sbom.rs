//! The bill of materials of a program: every crate that is compiled into it, as CycloneDX 1.5.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

/// The document for one program of the workspace.
pub fn of(program: &str) -> Result<Value> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let platform = crate::programs::platform()?;
    // `normal`: what only builds or tests the program is not part of it.
    let tree = cmd!(
        shell,
        "cargo tree --locked --package {program} --target {platform} --edges normal --no-dedupe --prefix none --format {FORMAT}"
    );
    document(program, &tree.quiet().read()?)
}

const FORMAT: &str = "{p}|{l}|{r}";

/// The first line of the tree is the program itself.
fn document(program: &str, tree: &str) -> Result<Value> {
    let mut lines: Vec<&str> = tree.lines().filter(|l| !l.contains("(proc-macro)")).collect();
    let own = lines.first().copied().with_context(|| format!("cargo tree says nothing about {program}"))?;
    lines.retain(|line| *line != own);
    lines.sort_unstable();
    lines.dedup();
    let components = lines.into_iter().map(|line| component(line, "library")).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(own, "application")? },
        "components": components,
    }))
}

/// `serde v1.0.1|MIT OR Apache-2.0|https://…`; a member of the workspace has its directory behind the version.
fn component(line: &str, kind: &str) -> Result<Value> {
    let mut columns = line.split('|');
    let package = columns.next().unwrap_or_default();
    let mut words = package.split(' ');
    let (name, version) = (words.next(), words.next().and_then(|v| v.strip_prefix('v')));
    let (Some(name), Some(version)) = (name, version) else {
        anyhow::bail!("cargo tree writes {package:?}, which is no package");
    };
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({ "type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl });
    if let Some(licence) = columns.next().filter(|l| !l.is_empty()) {
        // The old spelling of an alternative is no valid expression.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(url) = columns.next().filter(|u| !u.is_empty()) {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_each_crate_once() {
        let tree = "app v0.1.0 (/src/app)|Apache-2.0|\nb v2.0.0|MIT/Apache-2.0|https://b\nmacros v1.0.0 (proc-macro)|MIT|\n\
                    a v1.0.0||\nb v2.0.0|MIT/Apache-2.0|https://b";
        let document = document("app", tree).unwrap();
        assert_eq!(document["metadata"]["component"]["purl"], "pkg:cargo/app@0.1.0");
        let names: Vec<_> =
            document["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(document["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["components"][1]["externalReferences"][0]["url"], "https://b");
        assert!(component("nonsense|MIT|", "library").is_err());
    }
}
