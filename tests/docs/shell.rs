//! Shell text as commands of words, as far as the documents use the shell: quotes, comments, pipes, redirections, lines that
//! go on, here-documents.

/// What is typed in a transcript: lines behind the prompt `$ `, and the lines that continue them.
pub fn typed(lines: &[String]) -> String {
    let mut typed = vec![];
    let mut goes_on = false;
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(rest) => typed.push(rest.to_owned()),
            None if goes_on => typed.push(line.clone()),
            None => continue,
        }
        goes_on = line.ends_with('\\');
    }
    typed.join("\n")
}

/// The commands of a text, each as its words. What is redirected, and to where, is left out.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let text = without_documents(text).replace("\\\n", " ");
    let mut commands = vec![];
    let mut reader = Reader::default();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' => {
                let quoted = rest.by_ref().take_while(|next| *next != c);
                reader.word.get_or_insert_default().extend(quoted);
            }
            '#' if reader.word.is_none() => while rest.next_if(|next| *next != '\n').is_some() {},
            '>' => {
                reader.redirect();
                while rest.next_if(|next| matches!(next, '>' | '&')).is_some() {}
            }
            '\n' | ';' | '|' | '&' => commands.extend(reader.end()),
            _ if c.is_whitespace() => reader.end_word(),
            _ => reader.word.get_or_insert_default().push(c),
        }
    }
    commands.extend(reader.end());
    commands
}

/// The command that is being read.
#[derive(Default)]
struct Reader {
    words: Vec<String>,
    word: Option<String>,
    /// The next word is where the output goes.
    is_redirected: bool,
}

impl Reader {
    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if !std::mem::take(&mut self.is_redirected) {
            self.words.push(word);
        }
    }

    /// A number right before `>` is the stream that is redirected.
    fn redirect(&mut self) {
        if self.word.as_ref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        self.is_redirected = true;
    }

    fn end(&mut self) -> Option<Vec<String>> {
        self.end_word();
        self.is_redirected = false;
        Some(std::mem::take(&mut self.words)).filter(|words| !words.is_empty())
    }
}

/// The text without what stands in here-documents.
fn without_documents(text: &str) -> String {
    let mut kept = vec![];
    let mut until: Option<String> = None;
    for line in text.lines() {
        match &until {
            Some(end) if line == end => until = None,
            Some(_) => {}
            None => {
                let (before, word) = line.split_once("<<").unwrap_or((line, ""));
                until = Some(word.trim().trim_matches(['\'', '"']).to_owned()).filter(|word| !word.is_empty());
                kept.push(before);
            }
        }
    }
    kept.join("\n")
}

#[test]
fn commands_are_read_as_the_shell_reads_them() {
    for (text, read) in [
        ("a b  c # d\ne", vec![vec!["a", "b", "c"], vec!["e"]]),
        ("a 'b c' \"d|e\" f='g h'", vec![vec!["a", "b c", "d|e", "f=g h"]]),
        ("a \\\n  b", vec![vec!["a", "b"]]),
        ("a 2>> b & c=$!", vec![vec!["a"], vec!["c=$!"]]),
        ("a > b; c | d && e", vec![vec!["a"], vec!["c"], vec!["d"], vec!["e"]]),
        ("cat > a <<'EOF'\nb: c\nEOF\nd", vec![vec!["cat"], vec!["d"]]),
    ] {
        assert_eq!(commands(text), read, "{text}");
    }
    let transcript = ["$ a \\", "  b", "what it says", "$ c"].map(ToOwned::to_owned);
    assert_eq!(commands(&typed(&transcript)), [vec!["a", "b"], vec!["c"]]);
}
