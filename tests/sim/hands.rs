//! What becomes of the objects: what calls change when they come about, and what somebody else does to them by hand.

use std::time::Duration;

use dagstorm::{
    decide::AWS_SETTLE,
    model::{Effect, Object, SecurityGroupRule, Timestamp, mark},
};

use crate::{
    core::{Core, Happening, brief},
    objects::{self, Edit, Objects},
    storm::{Dice, Mishap},
};

/// What an open fault left behind when its data folder was lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// When that was.
    pub since: Timestamp,
    /// As its mark says.
    pub fault: String,
    pub heal_by: Timestamp,
    pub undo: Vec<Effect>,
}

impl Orphan {
    fn has_marked(&self, objects: &Objects, object: &Object) -> bool {
        mark::read(object, objects.now().tags(object))
            .is_some_and(|mark| mark.fault == self.fault && mark.heal_by == Some(self.heal_by))
    }
}

/// What an edit by hand is.
#[derive(Debug, Clone, Copy)]
enum Hand {
    /// The description of a rule that came with the cut.
    Piece,
    /// A rule that was cut is there again, and described otherwise.
    Again,
    /// The description of a rule that is still to be cut.
    Original,
    /// All rules are put back.
    Back,
    /// All rules and tags are put back.
    Wholly,
    /// A rule that concerns nobody is added, and stays.
    Another,
}

/// While nothing is taken away yet, or all of it is back: the pieces are there beside it.
const HANDS_BETWEEN: [Hand; 8] =
    [Hand::Piece, Hand::Piece, Hand::Piece, Hand::Piece, Hand::Original, Hand::Back, Hand::Wholly, Hand::Another];
const HANDS: [Hand; 8] =
    [Hand::Piece, Hand::Piece, Hand::Again, Hand::Again, Hand::Original, Hand::Back, Hand::Wholly, Hand::Another];

impl Core {
    /// A call that changes an object comes about.
    pub fn change(&mut self, call: &Effect) {
        let (now, was) = (self.now, self.objects.now().clone());
        self.objects.change(now, |things| things.take(call));
        let broken = self.objects.broken_by(call).filter(|_| was != *self.objects.now());
        let is_excused = |object: &Object| self.objects.unmarked_by_hand && *object == objects::group();
        if let Some(object) = broken.filter(|object| !self.objects.is_marked(object) && !is_excused(object)) {
            self.violates(format!("{} comes about, and {object} has no mark that tells of it", brief(call)));
        }
        if matches!(call, Effect::Mark { object, .. } if *object == objects::group()) {
            self.objects.unmarked_by_hand = false;
        }
        let touched = match call {
            Effect::Mark { object, .. } => Some((object.clone(), 25)),
            Effect::RevokeRules { .. } => Some((objects::group(), 35)),
            Effect::DenyQueue { url } => Some((Object::Queue(url.clone()), 15)),
            Effect::SetDesiredCount { service, .. } => {
                let delay = self.millis(500, 5_000);
                self.later(delay, Happening::Scale);
                Some((Object::Service(service.clone()), 15))
            }
            _ => None,
        };
        let Some((object, percent)) = touched.filter(|(object, _)| self.objects.is_marked(object)) else { return };
        if let Some(mut dice) = self.strikes(Mishap::Meddle, percent) {
            let delay = dice.millis(0, 9_000);
            self.later(delay, Happening::Meddle(object, dice));
        }
    }

    /// Whether a later call of a way back is lost, and somebody else comes before it is tried again.
    pub fn meddles_between(&mut self, call: &Effect) -> bool {
        let Effect::RevokeRules { rules } = call else { return false };
        let is_of_baseline =
            |rule: &SecurityGroupRule| self.objects.baseline.rules.iter().any(|one| one.same_rule(rule));
        if rules.iter().any(is_of_baseline) {
            return false;
        }
        let Some(mut dice) = self.strikes(Mishap::Between, 50) else { return false };
        self.tell(|| format!("lost: {}", brief(call)));
        let delay = dice.millis(0, 3_000);
        self.later(delay, Happening::Meddle(objects::group(), dice));
        true
    }

    /// The service runs what it wants.
    pub fn scale(&mut self) {
        let now = self.now;
        self.objects.change(now, |things| things.running = things.desired);
    }

    /// Somebody else changes what a fault lies in.
    pub fn meddle(&mut self, object: &Object, mut dice: Dice) {
        let (now, baseline) = (self.now, self.objects.baseline.clone());
        if !self.objects.is_marked(object) || self.objects.edit.is_some() || !self.orphans.is_empty() {
            return;
        }
        match object {
            Object::SecurityGroup(_) => {
                // As long as nothing is cut, there is nothing else to meddle with.
                let things = self.objects.now();
                let is_whole = objects::cut().all(|rule| things.rules.iter().any(|one| one.same_rule(&rule)));
                let hand = match (things.is_broken(&baseline), is_whole) {
                    (false, _) => Hand::Original,
                    (true, true) => HANDS_BETWEEN[dice.below(HANDS_BETWEEN.len())],
                    (true, false) => HANDS[dice.below(HANDS.len())],
                };
                self.meddle_with_rules(hand, &mut dice);
            }
            Object::Queue(_) => {
                self.tell(|| "by hand: the queue is allowed again".to_owned());
                self.objects.change(now, |things| things.denied = baseline.denied);
            }
            Object::Service(_) => {
                self.tell(|| "by hand: the service is scaled up again".to_owned());
                self.objects.change(now, |things| things.desired = baseline.desired);
                self.later(Duration::from_secs(1), Happening::Scale);
            }
            Object::Subnet(_) | Object::NetworkAcl(_) | Object::Instance(_) => panic!("not simulated: {object:?}"),
        }
    }

    fn meddle_with_rules(&mut self, hand: Hand, dice: &mut Dice) {
        let (now, baseline, rules) = (self.now, self.objects.baseline.clone(), self.objects.now().rules.clone());
        self.tell(|| format!("by hand: {hand:?}"));
        let is_in = |all: &[SecurityGroupRule], one: &SecurityGroupRule| all.iter().any(|other| other.same_rule(one));
        let candidates: Vec<SecurityGroupRule> = match hand {
            Hand::Piece => rules.iter().filter(|rule| !is_in(&baseline.rules, rule)).cloned().collect(),
            Hand::Again => baseline.rules.iter().filter(|rule| !is_in(&rules, rule)).cloned().collect(),
            Hand::Original => objects::cut().filter(|rule| is_in(&rules, rule)).collect(),
            // Without its mark and without a journal, nobody could ever tell what is still on its way.
            Hand::Wholly if self.keeps_disk => {
                self.objects.unmarked_by_hand = true;
                return self.objects.change(now, |things| {
                    things.rules = baseline.rules;
                    things.group_tags = baseline.group_tags;
                });
            }
            Hand::Back | Hand::Wholly => return self.objects.change(now, |things| things.rules = baseline.rules),
            Hand::Another => {
                let another = objects::another_rule();
                if !is_in(&rules, &another) {
                    self.objects.baseline.rules.push(another.clone());
                    self.objects.change(now, |things| things.rules.push(another));
                }
                return;
            }
        };
        if candidates.is_empty() {
            return;
        }
        let before = candidates[dice.below(candidates.len())].clone();
        let theirs = SecurityGroupRule { description: Some("by hand".to_owned()), ..before.clone() };
        self.objects.change(now, |things| {
            things.rules.retain(|rule| !rule.same_rule(&theirs));
            things.rules.push(theirs.clone());
        });
        self.objects.edit = Some(Edit { since: now, theirs, before });
        let delay = dice.millis(5_000, 90_000);
        self.later(delay, Happening::Mend);
    }

    /// Whoever changed a rule changes it back, where it is still there.
    pub fn mend(&mut self) {
        let (now, Some(edit)) = (self.now, self.objects.edit.take()) else { return };
        self.tell(|| format!("by hand: {} is as it was", edit.theirs));
        self.objects.mended_at = now;
        self.objects.change(now, |things| {
            for rule in things.rules.iter_mut().filter(|rule| rule.same_content(&edit.theirs)) {
                *rule = edit.before.clone();
            }
        });
    }

    /// A data folder is gone. What its faults left behind, the marks alone tell: nobody but us touches that.
    pub fn orphan(&mut self, orphans: Vec<Orphan>) {
        self.mend();
        self.orphans.extend(orphans);
    }

    /// Whether what lost data folders left behind is all taken back.
    pub fn has_no_orphans(&mut self) -> bool {
        let (now, objects) = (self.now, &self.objects);
        self.orphans.retain(|orphan| {
            now < orphan.since.plus(AWS_SETTLE)
                || objects::all().iter().any(|object| orphan.has_marked(objects, object))
        });
        self.orphans.is_empty()
    }

    /// Whether an object carries the mark of what a lost data folder left behind: that is for its heal-by to be taken back.
    pub fn is_an_orphans(&self, object: &Object) -> bool {
        self.orphans.iter().any(|orphan| orphan.has_marked(&self.objects, object))
    }

    /// Whether an effect takes back what a lost data folder left behind: no journal knows of it.
    pub fn is_for_an_orphan(&self, effect: &Effect) -> bool {
        // By a clock that may have been set forward.
        let now = self.now.plus(self.stepped);
        self.orphans.iter().any(|orphan| orphan.heal_by < now && orphan.undo.contains(effect))
    }
}
