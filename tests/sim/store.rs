//! Journals as bytes: what was written and not yet synced is gone, wholly or in part, after a crash.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use dagstorm::{
    journal::{Event, Record, Store, decode, encode},
    model::ScenarioName,
};
use rand::RngExt;

use crate::{
    clock::{Shared, pause},
    mutants::Mutant,
};

#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<BTreeMap<ScenarioName, File>>>);

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    unsynced: Vec<u8>,
}

#[derive(Clone)]
pub struct SimStore {
    pub disk: Disk,
    pub core: Shared,
    pub mutant: Mutant,
}

impl Disk {
    /// What would be read after a crash now.
    pub fn durable(&self, scenario: &ScenarioName) -> Vec<Record> {
        let files = self.0.lock().unwrap();
        let bytes = files.get(scenario).map(|file| file.durable.clone()).unwrap_or_default();
        decode(&bytes).expect("durable bytes are whole but for their tail").0
    }

    pub fn names(&self) -> Vec<ScenarioName> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// A crash: of what was not synced, any first part may have reached the disk.
    pub fn crash(&self, core: &Shared) {
        for file in self.0.lock().unwrap().values_mut() {
            let kept = core.lock().unwrap().rng.random_range(0..=file.unsynced.len());
            let rest = std::mem::take(&mut file.unsynced);
            file.durable.extend_from_slice(&rest[..kept]);
        }
    }
}

impl SimStore {
    /// What is written down as restored was restored.
    fn check_heals(&self, records: &[Record]) {
        let mut core = self.core.lock().unwrap();
        for record in records {
            if let Event::FaultSteady { fault, asked_at } | Event::Healed { fault, asked_at } = &record.event
                && !core.was_whole_since(*asked_at)
            {
                core.violations.push(format!("{fault} counts as restored, yet the service was never whole"));
            }
        }
    }
}

impl Store for SimStore {
    async fn append(&self, scenario: &ScenarioName, records: &[Record]) -> io::Result<()> {
        self.check_heals(records);
        let bytes: Vec<u8> = records.iter().flat_map(encode).collect();
        self.disk.0.lock().unwrap().entry(scenario.clone()).or_default().unsynced.extend(bytes);
        let wait = {
            let mut core = self.core.lock().unwrap();
            // Now and then the disk, or the whole machine, stands still for longer than any window.
            let stall = core.is_storm() && core.chance(1);
            if stall { core.millis(500, 20_000) } else { core.millis(0, 3) }
        };
        pause(&self.core, wait).await;
        if self.mutant != Mutant::NoWriteAhead {
            let mut files = self.disk.0.lock().unwrap();
            let file = files.get_mut(scenario).expect("just written");
            let synced = std::mem::take(&mut file.unsynced);
            file.durable.extend(synced);
        }
        Ok(())
    }

    async fn read(&self, scenario: &ScenarioName) -> io::Result<Vec<Record>> {
        pause(&self.core, std::time::Duration::from_millis(1)).await;
        let mut files = self.disk.0.lock().unwrap();
        let Some(file) = files.get_mut(scenario) else { return Ok(vec![]) };
        let (records, good) =
            decode(&file.durable).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        file.durable.truncate(good);
        // As of files: what was compacted is gone. The judge still sees all of it.
        let head = records.iter().rposition(|record| matches!(record.event, Event::Compacted { .. }));
        Ok(records.into_iter().skip(head.unwrap_or(0)).collect())
    }

    async fn names(&self) -> io::Result<Vec<ScenarioName>> {
        pause(&self.core, std::time::Duration::from_millis(1)).await;
        Ok(self.disk.names())
    }
}
