//! What a person has chosen, and what the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::seen::Seen;

/// Where the person is.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Of the scenarios, from the top.
    pub row: usize,
    /// The details of the chosen one are shown.
    pub is_open: bool,
    /// How far the details are scrolled; the view keeps it within what there is.
    pub scrolled: u16,
    pub is_help: bool,
    /// Only scenarios whose name contains this are shown.
    pub filter: String,
    /// Letters go into the filter.
    pub is_typing: bool,
    /// It is printed, and nobody presses keys.
    pub is_plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    GoOn,
    End,
}

/// All keys, as the help shows them.
pub const KEYS: [(&str, &str); 7] = [
    ("↑ ↓, k j", "choose a scenario; in its details: scroll"),
    ("PgUp PgDn", "ten at once; g and G: first and last"),
    ("Enter, → l", "details of the chosen scenario"),
    ("Esc, ← h", "back"),
    ("/", "show only names with these letters in them; Enter, Esc"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
];

const PAGE: usize = 10;

impl Chosen {
    /// Scenarios come and go.
    pub fn keep_within(&mut self, seen: &Seen) {
        self.row = self.row.min(seen.scenarios.len().saturating_sub(1));
        self.is_open &= !seen.scenarios.is_empty();
    }

    /// Does what a key asks for.
    #[allow(clippy::wildcard_enum_match_arm, reason = "there are many keys, and most of them mean nothing here")]
    pub fn press(&mut self, key: KeyEvent, seen: &Seen) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Action::End } else { Action::GoOn };
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Action::GoOn;
        }
        match key.code {
            KeyCode::Char('q') => return Action::End,
            KeyCode::Char('/') => (self.is_typing, self.is_open) = (true, false),
            KeyCode::Esc if !self.is_help && !self.is_open => self.filter.clear(),
            KeyCode::Char('?') => self.is_help = !self.is_help,
            KeyCode::Esc if self.is_help => self.is_help = false,
            KeyCode::Esc | KeyCode::Left | KeyCode::Char('h') | KeyCode::Backspace => self.is_open = false,
            KeyCode::Enter if self.is_open => self.is_open = false,
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => {
                self.is_open = !seen.scenarios.is_empty();
                self.scrolled = 0;
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-(PAGE as isize)),
            KeyCode::PageDown => self.go(PAGE as isize),
            KeyCode::Home | KeyCode::Char('g') => self.go(-(u16::MAX as isize)),
            KeyCode::End | KeyCode::Char('G') => self.go(u16::MAX as isize),
            _ => {}
        }
        self.keep_within(seen);
        Action::GoOn
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "there are many keys, and most of them mean nothing here")]
    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    fn go(&mut self, steps: isize) {
        if self.is_open {
            let to = (self.scrolled as isize).saturating_add(steps).clamp(0, u16::MAX as isize);
            self.scrolled = u16::try_from(to).expect("it is clamped");
        } else {
            self.row = self.row.saturating_add_signed(steps);
        }
    }
}
