//! Whose a document is: dagstorm's, or that of another tool whose files lie in the same folder.

use super::{
    load::{Document, document_text},
    problem::meant,
    schema::Kind,
    tree::{self, Dialect, Node, Value},
};

/// The group of every `apiVersion` that dagstorm ever had.
const GROUP: &str = "dagstorm.dev";

/// Whose a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A manifest, good or bad; or a text that does not parse and contains `dagstorm.dev`.
    Ours,
    /// It parses, and its `apiVersion` is another tool's.
    Foreign,
    /// Nothing in it says whose it is: it has neither an `apiVersion` nor a kind of ours, or it does not parse at all.
    Unmarked,
}

/// Judges a document of the file with this content.
///
/// An `apiVersion` that is nearly ours is ours with a mistake in it, and so is a `kind` of ours without the group of an
/// `apiVersion`. What is no UTF-8 text is taken for ours.
pub fn origin(bytes: &[u8], document: &Document) -> Origin {
    if document.content.is_ok() {
        return Origin::Ours;
    }
    let Some(text) = document_text(bytes, document.number) else { return Origin::Ours };
    match tree::parse(text, Dialect::Yaml) {
        Ok(read) => of_tree(&read.root),
        Err(_) if text.contains(GROUP) => Origin::Ours,
        Err(_) => Origin::Unmarked,
    }
}

fn of_tree(tree: &Node) -> Origin {
    if !matches!(tree.value, Value::Map(_)) {
        return Origin::Unmarked;
    }
    let field = |name: &str| tree.get(name).map(|entry| entry.node.text());
    let is_our_kind = field("kind").flatten().is_some_and(|kind| Kind::ALL.iter().any(|known| known.word() == kind));
    let is_ours = match field("apiVersion") {
        None if is_our_kind => true,
        None => return Origin::Unmarked,
        Some(version) => match version.and_then(|version| version.split_once('/')) {
            Some((group, _)) => meant(group, [GROUP]).is_some(),
            None => is_our_kind,
        },
    };
    if is_ours { Origin::Ours } else { Origin::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{load, no_attachments};

    #[test]
    fn every_document_is_somebodys() {
        for (text, expected) in [
            ("apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\n", Origin::Ours),
            ("apiVersion: dagstorm.dev/v9\nkind: Other\n", Origin::Ours),
            ("apiVersion: dagstrom.dev/v1alpha1\nkind: Scenario\n", Origin::Ours),
            ("kind: Scenario\nmetadata: { name: a }\n", Origin::Ours),
            ("apiVersion: v1alpha1\nkind: Target\n", Origin::Ours),
            ("apiVersion: dagstorm.dev/v1alpha1\nkind: [\n", Origin::Ours),
            ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", Origin::Foreign),
            ("apiVersion: litmuschaos.io/v1\nkind: Target\nmetadata: { name: a }\n", Origin::Foreign),
            ("apiVersion: v1\nkind: ConfigMap\n", Origin::Foreign),
            ("apiVersion: 1\n", Origin::Foreign),
            ("resources: [ a.yaml ]\n", Origin::Unmarked),
            ("kind: Pipeline\n", Origin::Unmarked),
            ("- a\n- b\n", Origin::Unmarked),
            ("only words\n", Origin::Unmarked),
            ("{{ if .Values.on }}\nkind: Scenario\n{{ end }}\n", Origin::Unmarked),
            ("a: &x { b: 1 }\nc: { <<: *x }\n", Origin::Unmarked),
        ] {
            let documents = load("a.yaml", text.as_bytes(), &no_attachments);
            assert_eq!(documents.len(), 1, "{text}");
            assert_eq!(origin(text.as_bytes(), &documents[0]), expected, "{text}");
        }
        let json = b"{ // a comment\n \"compilerOptions\": {} }";
        assert_eq!(origin(json, &load("tsconfig.json", json, &no_attachments)[0]), Origin::Unmarked);
        let wide = [0xff, 0xfe, b'a', 0];
        assert_eq!(origin(&wide, &load("a.yaml", &wide, &no_attachments)[0]), Origin::Ours);
    }
}
