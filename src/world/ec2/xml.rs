//! Reading EC2's XML: by element, strictly. A document that ends early is an error, never a shorter answer.

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct Malformed(pub String);

impl From<XmlDecodeError> for Malformed {
    fn from(error: XmlDecodeError) -> Self {
        Self(error.to_string())
    }
}

/// One element, with its name and what is in it.
pub type Element<'input, 'parent> = ScopedDecoder<'input, 'parent>;

/// Reads the children of the document's root, which must have this name. Unknown elements are passed over.
pub fn root(
    text: &str,
    name: &str,
    child: impl FnMut(&str, &mut Element<'_, '_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    check_complete(text)?;
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    let found = root.start_el().local();
    if found != name {
        return Err(Malformed(format!("it is `{found}` instead of `{name}`")));
    }
    children(&mut root, child)
}

/// Reads the children of an element.
pub fn children(
    element: &mut Element<'_, '_>,
    mut child: impl FnMut(&str, &mut Element<'_, '_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while let Some(mut inner) = element.next_tag() {
        let name = inner.start_el().local().to_owned();
        child(&name, &mut inner)?;
    }
    Ok(())
}

/// Reads a list: one `item` after the other.
pub fn items<T>(
    element: &mut Element<'_, '_>,
    mut read: impl FnMut(&mut Element<'_, '_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut items = vec![];
    children(element, |name, item| {
        if name == "item" {
            items.push(read(item)?);
        }
        Ok(())
    })?;
    Ok(items)
}

/// The text of an element; empty where there is none.
pub fn text(element: &mut Element<'_, '_>) -> Result<String, Malformed> {
    Ok(try_data(element)?.into_owned())
}

/// The text of an element; `None` where it is empty.
pub fn some_text(element: &mut Element<'_, '_>) -> Result<Option<String>, Malformed> {
    Ok(Some(text(element)?).filter(|text| !text.is_empty()))
}

/// The text of an element as something that is written as text.
pub fn parsed<T: std::str::FromStr>(element: &mut Element<'_, '_>) -> Result<T, Malformed> {
    let text = text(element)?;
    text.trim().parse().map_err(|_| Malformed(format!("`{text}` in `{}`", element.start_el().local())))
}

/// The decoder itself passes over broken ends: without this, half a list would be a list.
fn check_complete(text: &str) -> Result<(), Malformed> {
    let mut depth = None;
    for token in Document::new(text) {
        depth = Some(token?.1);
    }
    match depth {
        Some(0) => Ok(()),
        Some(_) => Err(Malformed("it ends in the middle".to_owned())),
        None => Err(Malformed("it is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(document: &str) -> Result<Vec<String>, Malformed> {
        let mut found = vec![];
        root(document, "Answer", |name, list| {
            if name == "set" {
                found = items(list, text)?;
            }
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn only_whole_documents_are_read() {
        let whole = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Answer xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
                <new><set><item>no</item></set></new> <!-- a comment -->
                <set> <item>a &amp; b</item><item/> </set>
            </Answer>
        "#;
        assert_eq!(names(whole), Ok(vec!["a & b".to_owned(), String::new()]));
        let end = whole.rfind("</Answer>").expect("its end");
        for length in (0..end + "</Answer>".len()).filter(|length| whole.is_char_boundary(*length)) {
            assert!(names(&whole[..length]).is_err(), "{}", &whole[..length]);
        }
        for other in ["<html><body>Bad gateway</body></html>", "not XML", "", "<Answer><set></Answer>"] {
            assert!(names(other).is_err(), "{other}");
        }
    }
}
