//! Which kind of driver a `context-factory` asks for.

use crate::config::{Config, Driver};

/// Factories of the reference that are this kind with another `context` for the job.
const PYTHON_FACTORIES: [&str; 4] =
    ["PythonSessionContextFactory", "PythonSparkContextFactory", "PythonSQLContextFactory", "PythonHiveContextFactory"];

/// The module that the built-in kinds run.
const PYTHON_DRIVER: &str = "doyen_driver";

#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    pub name: String,
    pub driver: Driver,
}

impl Kind {
    /// Whether it is our Python driver: then it takes one egg or wheel a job, and the server brings its code along.
    pub fn is_python(&self) -> bool {
        self.driver.arguments.iter().any(|a| a == PYTHON_DRIVER)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    #[error(
        "the context factory {factory} runs Scala and Java jobs, for which this version has no driver; known are {known}"
    )]
    Jvm { factory: String, known: String },
    #[error("unknown context factory {factory}; known are {known}")]
    Unknown { factory: String, known: String },
}

/// A factory is the name of a kind, or one of the reference's Python factories by its full or bare class name.
pub fn resolve(config: &Config, factory: &str) -> Result<Kind, KindError> {
    let class = factory.rsplit('.').next().unwrap_or(factory);
    let is_reference = PYTHON_FACTORIES.contains(&class)
        && (class == factory || factory.strip_suffix(class) == Some("spark.jobserver.python."));
    let name = if is_reference { "pyspark" } else { factory };
    if let Some(driver) = config.drivers.0.get(name) {
        return Ok(Kind { name: name.into(), driver: driver.clone() });
    }
    let kinds: Vec<&str> = config.drivers.0.keys().map(String::as_str).collect();
    let known = format!("{} and spark.jobserver.python.{}", kinds.join(", "), PYTHON_FACTORIES[0]);
    let factory = factory.to_owned();
    if factory.starts_with("spark.jobserver.context.") || factory.starts_with("spark.jobserver.japi.") {
        return Err(KindError::Jvm { factory, known });
    }
    Err(KindError::Unknown { factory, known })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(factory: &str) -> Result<String, KindError> {
        resolve(&Config::default(), factory).map(|kind| kind.name)
    }

    #[test]
    fn the_references_python_factories_are_kind_pyspark() {
        assert_eq!(kind("spark.jobserver.python.PythonSessionContextFactory"), Ok("pyspark".into()));
        assert_eq!(kind("PythonSQLContextFactory"), Ok("pyspark".into()));
        assert_eq!(kind("python"), Ok("python".into()));
    }

    #[test]
    fn others_are_refused_with_those_that_are_known() {
        assert!(matches!(kind("spark.jobserver.context.SessionContextFactory"), Err(KindError::Jvm { .. })));
        assert!(matches!(kind("no.such.PythonSessionContextFactory"), Err(KindError::Unknown { .. })));
        assert!(kind("no.such.Factory").is_err_and(|e| e.to_string().contains("pyspark, python")));
    }
}
