//! Log lines: JSON with the fields that the executor, the workers and the autoscaler write too.

use std::{fmt, io, path::Path, sync::Mutex};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Logs to stderr.
pub fn to_stderr() {
    tracing_subscriber::fmt().with_env_filter(filter()).event_format(Json).with_writer(io::stderr).init();
}

/// Logs to a file, so that a display on the terminal stays whole.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    tracing_subscriber::fmt().with_env_filter(filter()).event_format(Json).with_writer(Mutex::new(file)).init();
    Ok(())
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("DAGSTORM_LOG").unwrap_or_else(|_| EnvFilter::new("warn,dagstorm=info"))
}

/// `{"timestamp", "level", "component", "message", …}`; scenario, key and run id where they are known.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        let now = jiff::Timestamp::now();
        line.insert("timestamp".to_owned(), format!("{now:.6}").into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("component".to_owned(), "operator".into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}
