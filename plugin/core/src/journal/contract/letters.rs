//! The rules of dead letters: who changes them, and how the fleet finds them.

use super::Rule;
use super::bench::{Bench, TestedStore, close, writer};
use crate::journal::letters::{LetterAnswer, LetterChange, LetterList, LetterOperation, StoredLetter};
use crate::journal::operation::{Operation, Outcome};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("a letter is kept, read and forgotten by any gateway", letter_is_kept_by_any_gateway),
    ("a letter outlives its writer", letter_outlives_its_writer),
    ("a change of letters that is asked again counts once", repeated_change_counts_once),
    ("a late change of letters is passed over", late_change_is_passed_over),
    ("a dead writer changes no letters", dead_writer_changes_no_letters),
    ("letters are listed where any has changed", letters_are_listed_where_any_has_changed),
    ("letters are listed in parts", letters_are_listed_in_parts),
    ("a letter is delivered again while its gateway lives", letter_is_taken_while_its_gateway_lives),
];

fn letters(gateway: usize, letters: LetterOperation) -> Operation {
    Operation::Letters { writer: writer(gateway), letters }
}

fn change(gateway: usize, changes: &[(&str, LetterChange)]) -> Operation {
    let changes = changes.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
    letters(gateway, LetterOperation::Change { member: b"changed".to_vec(), changes })
}

fn keep(bytes: &str) -> LetterChange {
    LetterChange::Keep(bytes.into())
}

fn forget(gateway: usize, names: &[&str]) -> Operation {
    letters(gateway, LetterOperation::Forget { names: names.iter().map(|name| (*name).to_owned()).collect() })
}

#[track_caller]
fn list_after(bench: &mut Bench<'_>, known: Option<u64>, after: Option<&str>, most: u32) -> LetterList {
    let list = LetterOperation::List { known, after: after.map(str::to_owned), most };
    match bench.ask(2, &letters(2, list)) {
        Outcome::Letters(LetterAnswer::List(list)) => list,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn list(bench: &mut Bench<'_>, known: Option<u64>) -> LetterList {
    list_after(bench, known, None, 100)
}

/// The letters with these names that there are, and what each holds.
#[track_caller]
fn kept(bench: &mut Bench<'_>, names: &[&str]) -> Vec<(String, String)> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let Outcome::Letters(LetterAnswer::Read(found)) = bench.ask(2, &letters(2, LetterOperation::Read { names })) else {
        panic!("it reads letters")
    };
    let shown = |StoredLetter { name, bytes, .. }| (name, String::from_utf8_lossy(&bytes).into_owned());
    found.into_iter().map(shown).collect()
}

fn pair(name: &str, bytes: &str) -> (String, String) {
    (name.to_owned(), bytes.to_owned())
}

fn letter_is_kept_by_any_gateway(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &change(0, &[("a", keep("1")), ("b", keep("2"))]));
    assert_eq!(kept(&mut bench, &["b", "none", "a"]), [pair("b", "2"), pair("a", "1")]);
    bench.applied(1, &change(1, &[("a", keep("3")), ("b", LetterChange::Forget)]));
    assert_eq!(kept(&mut bench, &["a", "b"]), [pair("a", "3")]);
    bench.applied(0, &forget(0, &["a"]));
    assert_eq!(kept(&mut bench, &["a"]), []);
}

fn letter_outlives_its_writer(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &change(0, &[("a", keep("1"))]));
    bench.lapse(0);
    assert_eq!(kept(&mut bench, &["a"]), [pair("a", "1")]);
}

fn repeated_change_counts_once(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    for bytes in ["1", "2"] {
        bench.repeated(0, &change(0, &[("a", keep(bytes))]), Outcome::Already);
        bench.applied(0, &change(0, &[("b", keep(bytes))]));
    }
    assert_eq!(kept(&mut bench, &["a", "b"]), [pair("a", "2"), pair("b", "2")]);
}

fn late_change_is_passed_over(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    let first = change(0, &[("a", keep("1"))]);
    let late = bench.call(0, &first);
    bench.applied(0, &first);
    bench.applied(0, &change(0, &[("a", LetterChange::Forget)]));
    bench.carry(&late);
    assert_eq!(kept(&mut bench, &["a"]), [], "no late call brings a letter back that was discarded");
}

fn dead_writer_changes_no_letters(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &change(0, &[("a", keep("1"))]));
    bench.applied(0, &close(0));
    bench.fenced(0, &change(0, &[("a", keep("2"))]));
    bench.fenced(0, &forget(0, &["a"]));
    assert_eq!(kept(&mut bench, &["a"]), [pair("a", "1")]);
}

fn letters_are_listed_where_any_has_changed(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &change(0, &[("b", keep("1")), ("a", keep("1"))]));
    let names = |list: &LetterList| -> Option<Vec<String>> {
        list.names.as_ref().map(|names| names.iter().map(|(name, _)| name.clone()).collect())
    };
    let first = list(&mut bench, None);
    assert_eq!((names(&first), first.has_more), (Some(vec!["a".to_owned(), "b".to_owned()]), false));
    assert!(first.changed.is_some());
    assert_eq!(names(&list(&mut bench, first.changed)), None);
    bench.applied(1, &change(1, &[("b", keep("2"))]));
    let second = list(&mut bench, first.changed);
    let revision = |list: &LetterList, at: usize| list.names.as_ref().map(|names| names[at].1);
    assert_eq!(names(&second), names(&first));
    assert!(revision(&second, 0) == revision(&first, 0) && revision(&second, 1) > revision(&first, 1), "{second:?}");
    // What is forgotten without a write is found missing, too.
    bench.applied(0, &forget(0, &["a"]));
    assert_eq!(names(&list(&mut bench, second.changed)), Some(vec!["b".to_owned()]));
}

fn letters_are_listed_in_parts(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    bench.applied(0, &change(0, &["a", "b", "c"].map(|name| (name, keep("1")))));
    let (mut found, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let list = list_after(&mut bench, None, after.as_deref(), 2);
        found.extend(list.names.unwrap_or_default().into_iter().map(|(name, _)| name));
        if !list.has_more {
            break;
        }
        assert!(found.last() > after.as_ref(), "a part goes on after the one before");
        after = found.last().cloned();
    }
    assert_eq!(found, ["a", "b", "c"]);
}

fn letter_is_taken_while_its_gateway_lives(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &change(0, &[("a", keep("1")), ("b", keep("1"))]));
    bench.applied(1, &change(1, &["a", "b"].map(|name| (name, LetterChange::Take("gateway-1".to_owned())))));
    assert_eq!(list(&mut bench, None).taken, [pair("a", "gateway-1"), pair("b", "gateway-1")]);
    // A letter that is kept anew was delivered again in vain.
    bench.applied(1, &change(1, &[("b", keep("2"))]));
    assert_eq!(list(&mut bench, None).taken, [pair("a", "gateway-1")]);
    bench.applied(1, &close(1));
    assert_eq!(list(&mut bench, None).taken, []);
    assert_eq!(kept(&mut bench, &["a", "b"]), [pair("a", "1"), pair("b", "2")]);
}
