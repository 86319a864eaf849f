//! Describing a native function.

use std::future::Future;
use std::time::Duration;

use rfx_schemas::name::{Function, NameError, Queue, Version};
use rfx_schemas::rules::Retry;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Context, NotPassed, Registry};

/// What the catalogue says of a native function.
#[derive(Debug, Clone)]
pub struct About {
    /// Its dotted name.
    pub name: Function,
    /// Its version.
    pub version: Version,
    /// Its documentation.
    pub doc: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Longest time that an attempt may run.
    pub timeout: Option<Duration>,
    /// The lane that its jobs take.
    pub queue: Queue,
    /// Names of secrets that it needs.
    pub secrets: Vec<String>,
    /// When it is tried again.
    pub retry: Option<Retry>,
    /// Inputs that its author shows.
    pub examples: Vec<Value>,
    /// Keys of shared state that it reads or writes.
    pub state: Vec<String>,
    /// JSON Schema of its input.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
}

/// A function that is being described; [`Builder::serve`] adds it to its registry.
#[must_use = "nothing is registered before serve()"]
pub struct Builder<'a> {
    registry: &'a mut Registry,
    // The first name that is none; said by `serve`, so that a description reads in one go.
    about: Result<About, NameError>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(registry: &'a mut Registry, name: &str) -> Self {
        let about = rfx_schemas::record::parse_use(name).map(|(name, version)| About {
            name,
            version: version.unwrap_or_else(|| "1".parse().expect("a version")),
            doc: String::new(),
            tags: Vec::new(),
            owner: None,
            timeout: None,
            queue: Queue::main(),
            secrets: Vec::new(),
            retry: None,
            examples: Vec::new(),
            state: Vec::new(),
            input: Value::Null,
            output: Value::Null,
        });
        Self { registry, about }
    }

    fn with(mut self, set: impl FnOnce(&mut About) -> Result<(), NameError>) -> Self {
        self.about = self.about.and_then(|mut about| set(&mut about).map(|()| about));
        self
    }

    /// What it does, for people.
    pub fn doc(self, doc: impl Into<String>) -> Self {
        self.with(|about| {
            about.doc = doc.into();
            Ok(())
        })
    }

    /// Its version: whole numbers joined by dots.
    pub fn version(self, version: &str) -> Self {
        self.with(|about| version.parse().map(|version| about.version = version))
    }

    /// Words to find it by.
    pub fn tags<T: Into<String>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        self.with(|about| {
            about.tags.extend(tags.into_iter().map(Into::into));
            Ok(())
        })
    }

    /// Who answers for it.
    pub fn owner(self, owner: impl Into<String>) -> Self {
        self.with(|about| {
            about.owner = Some(owner.into());
            Ok(())
        })
    }

    /// Longest time that an attempt may run, unless the step says otherwise.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|about| {
            about.timeout = Some(timeout);
            Ok(())
        })
    }

    /// The queue that its jobs take, unless the step says otherwise.
    pub fn queue(self, queue: &str) -> Self {
        self.with(|about| queue.parse().map(|queue| about.queue = queue))
    }

    /// Names of secrets that it needs, whatever the step names besides.
    pub fn secrets<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        self.with(|about| {
            about.secrets.extend(names.into_iter().map(Into::into));
            Ok(())
        })
    }

    /// When it is tried again, unless the step says otherwise.
    pub fn retry(self, retry: Retry) -> Self {
        self.with(|about| {
            about.retry = Some(retry);
            Ok(())
        })
    }

    /// Keys of shared state that it reads or writes.
    pub fn state<T: Into<String>>(self, keys: impl IntoIterator<Item = T>) -> Self {
        self.with(|about| {
            about.state.extend(keys.into_iter().map(Into::into));
            Ok(())
        })
    }

    /// An input to show.
    pub fn example(self, input: Value) -> Self {
        self.with(|about| {
            about.examples.push(input);
            Ok(())
        })
    }

    pub(super) fn about(self) -> Result<About, NameError> {
        self.about
    }

    /// Registers the function. Its input is read from the job's JSON object, its output written as
    /// JSON, and the schemas of both are those of their types.
    pub fn serve<I, O, F, Fut>(self, function: F) -> Result<&'a mut Registry, NameError>
    where
        I: DeserializeOwned + JsonSchema + Send,
        O: Serialize + JsonSchema,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, NotPassed>> + Send + 'static,
    {
        let settings = SchemaSettings::draft2020_12();
        let about = About {
            input: schema::<I>(settings.clone().for_deserialize()),
            output: schema::<O>(settings.for_serialize()),
            ..self.about?
        };
        self.registry.insert(about, function);
        Ok(self.registry)
    }
}

/// A type's schema; null where anything goes, which is how the catalogue says that nothing is known.
fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(mut schema) => {
            schema.remove("$schema");
            // The name of a Rust type, and a doc that the function says better.
            let said = |(key, _): (&String, &Value)| key != "title" && key != "description";
            if schema.iter().any(said) { Value::Object(schema) } else { Value::Null }
        }
        _ => Value::Null,
    }
}
