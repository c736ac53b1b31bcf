//! What may stand in a page.

use super::*;

#[test]
fn no_text_breaks_out_of_the_data() {
    for text in ["</script><script>alert(1)</script>", "<!--", "<![CDATA[", "]]>", "\u{2028}\u{2029}", "a & b \\\"", "{{script}}"] {
        let json = serde_json::to_string(&[text]).expect("a string");
        let escaped = escaped_json(&json);
        assert!(!escaped.contains(['<', '>', '\u{2028}', '\u{2029}']), "{escaped}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).expect("still JSON"), [text]);
    }
    assert_eq!(escaped_text("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
}

#[test]
fn what_is_filled_in_is_not_looked_at_again() {
    let value = |name: &str| format!("[{name} {{{{title}}}}]");
    assert_eq!(fill("a {{title}} b {{data}}", value), "a [title {{title}}] b [data {{title}}]");
}

#[test]
fn our_own_parts_end_no_element_early() {
    for script in [PLOTS, SCRIPT] {
        assert!(!script.contains("</script") && !script.contains("<!--") && !script.contains('\r'));
    }
    assert!(!STYLE.contains("</style") && !STYLE.contains('\r'));
    for banned in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!SCRIPT.contains(banned), "{banned}");
    }
}
