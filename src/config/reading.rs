//! From text and environment to [`File`], with every mistake that types can find.
//!
//! serde stops at the first error. Every key of [`File`] may be absent, though, so each key with its value can be tried alone, as a
//! file of one line: what fails is a mistake and is left out, what remains makes the whole. The environment is tried the same way and
//! laid over the file, so that a bad value in the file does not matter where a variable replaces it. What the values mean together is
//! decided in [`crate::config`].

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::environment::{Environment, Variable};
use super::leaf::{Leaf, Problem};
use super::mistake::Mistake;
use super::raw::File;

/// A file as far as it could be read.
pub(super) struct Reading {
    pub(super) file: File,
    pub(super) mistakes: Vec<Mistake>,
    /// Which keys the environment has set, and by which variable.
    pub(super) variables: BTreeMap<String, String>,
    /// Variables that may be meant for the gate, but name neither a section nor a key outside of sections.
    pub(super) idle_variables: Vec<String>,
}

/// Reads the text of a file and lays the environment over it.
pub(super) fn read(text: &str, environment: &Environment) -> Reading {
    let mut mistakes = Vec::new();
    let mut variables = BTreeMap::new();
    let mut table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            mistakes.push(syntax_mistake(text, &error));
            Table::new()
        }
    };
    let (settings, idle): (Vec<_>, Vec<_>) = environment.settings().partition(may_set);
    for variable in settings {
        if let Some((value, key)) = try_variable(&variable, &mut mistakes) {
            put(&mut table, &variable.path, value);
            variables.insert(key, variable.name);
        }
    }
    let sifted =
        sift(Value::Table(table), &mut Vec::new(), &mut mistakes).unwrap_or(Value::Table(Table::new()));
    // Each key was accepted alone; together they can only be refused by a flaw of this module.
    let file = File::deserialize(Leaf(sifted)).unwrap_or_else(|problem| {
        mistakes.push(Mistake::new("the file as a whole", problem.to_string()));
        File::default()
    });
    let idle_variables = idle.into_iter().map(|variable| variable.name).collect();
    Reading { file, mistakes, variables, idle_variables }
}

/// False for a variable without `__` whose name is neither that of a section nor that of a key outside of sections.
fn may_set(variable: &Variable) -> bool {
    let [key] = variable.path.as_slice() else { return true };
    !matches!(try_alone(&[Step::Key(key.clone())], Value::Integer(0)), Err(Problem::UnknownKey { .. }))
}

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// `value` without what is wrong in it; `None` if nothing is left.
fn sift(value: Value, path: &mut Vec<Step>, mistakes: &mut Vec<Mistake>) -> Option<Value> {
    match value {
        Value::Table(table) if !table.is_empty() => {
            let mut kept = Table::new();
            for (key, value) in table {
                path.push(Step::Key(key.clone()));
                if let Some(value) = sift(value, path, mistakes) {
                    kept.insert(key, value);
                }
                path.pop();
            }
            Some(Value::Table(kept))
        }
        Value::Array(items) if !items.is_empty() => {
            let mut kept = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                path.push(Step::Index(index));
                kept.extend(sift(item, path, mistakes));
                path.pop();
            }
            Some(Value::Array(kept))
        }
        leaf => match try_alone(path, leaf.clone()) {
            Ok(()) => Some(leaf),
            Err(problem) => {
                let mistake = mistake(path, &leaf, &problem);
                // A table that nobody knows is one mistake, whatever stands in it.
                if !mistakes.contains(&mistake) {
                    mistakes.push(mistake);
                }
                None
            }
        },
    }
}

/// Reads a file in which nothing stands but `value` at `path`.
pub(super) fn try_alone(path: &[Step], value: Value) -> Result<(), Problem> {
    File::deserialize(Leaf(alone(path, value))).map(drop)
}

/// A file in which nothing stands but `value` at `path`.
fn alone(path: &[Step], value: Value) -> Value {
    path.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Value::Table(Table::from_iter([(key.clone(), value)])),
        Step::Index(_) => Value::Array(vec![value]),
    })
}

fn mistake(path: &[Step], value: &Value, problem: &Problem) -> Mistake {
    match problem {
        Problem::UnknownKey { key, .. } => {
            // Its value is not shown: a password under a wrong name is a password.
            let end = path.iter().rposition(|step| *step == Step::Key(key.clone()));
            let known = path.get(..=end.unwrap_or(path.len())).unwrap_or(path);
            Mistake::new(name(known), problem.to_string())
        }
        Problem::Expected(_) => Mistake::new(name(path), problem.to_string()).with_value(value),
    }
}

/// A key as one writes it in a message: `channels[2].upstreams[0].url`.
pub(super) fn name(path: &[Step]) -> String {
    let mut name = String::new();
    for step in path {
        match step {
            Step::Key(key) if name.is_empty() => name.push_str(key),
            Step::Key(key) => name.extend([".", key]),
            Step::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

/// The value of a variable and the key that it sets: as TOML if that suits the key, else as the text that it is.
fn try_variable(variable: &Variable, mistakes: &mut Vec<Mistake>) -> Option<(Value, String)> {
    let path: Vec<_> = variable.path.iter().cloned().map(Step::Key).collect();
    if variable.path.first().is_some_and(|key| key == "channels") {
        let mistake = Mistake::new(name(&path), "channels are configured in the file only");
        mistakes.push(Mistake { variable: Some(variable.name.clone()), ..mistake });
        return None;
    }
    let text = Value::String(variable.text.clone());
    let parsed = format!("value = {}", variable.text)
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    let mut refused = None;
    for value in parsed.into_iter().chain([text]) {
        let mut found = Vec::new();
        let accepted = sift(alone(&path, value.clone()), &mut Vec::new(), &mut found);
        if accepted.is_some() && found.is_empty() {
            return Some((value, name(&path)));
        }
        refused.get_or_insert(found);
    }
    let named = |mistake| Mistake { variable: Some(variable.name.clone()), ..mistake };
    mistakes.extend(refused.into_iter().flatten().map(named));
    None
}

/// Sets `path` in `table`. A table on the way that is none is left for [`sift`] to complain of.
fn put(table: &mut Table, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert(key.clone(), value);
    } else if let Value::Table(inner) = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()))
    {
        put(inner, rest, value);
    }
}

/// Where the text is not TOML. The line itself is not shown: it may hold a secret.
fn syntax_mistake(text: &str, error: &toml::de::Error) -> Mistake {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Mistake::new(format!("line {line}"), format!("this is not TOML: {}", error.message().trim()))
}
