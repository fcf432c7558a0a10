//! Data files.

use futures::StreamExt;

use super::{Permission, Principal, Service, ServiceError, Upload};
use crate::core::binaries::check_name;
use crate::ports::{DataError, StoredData};

impl Service {
    pub async fn list_data(&self, who: &Principal) -> Result<Vec<String>, ServiceError> {
        self.permit(who, Permission::DataRead)?;
        self.list_of_data().await
    }

    pub(super) async fn list_of_data(&self) -> Result<Vec<String>, ServiceError> {
        self.data.list().await.map_err(|error| data_error("", error))
    }

    /// Answers the file's absolute path, which jobs open.
    pub async fn upload_data(&self, who: &Principal, name: &str, content: impl Upload) -> Result<String, ServiceError> {
        Ok(self.store_data(who, name, None, content).await?.path)
    }

    /// Under a key the file has a name that is made of it.
    pub(super) async fn store_data(
        &self,
        who: &Principal,
        name: &str,
        key: Option<&str>,
        content: impl Upload,
    ) -> Result<StoredData, ServiceError> {
        self.permit(who, Permission::DataUpload)?;
        if name.contains('/') || check_name(name).is_err() {
            return Err(ServiceError::DataNotStored(name.into()));
        }
        let limit = self.config.http.max_upload_bytes;
        self.data.store(name, key, content.boxed(), limit).await.map_err(|error| data_error(name, error))
    }

    pub async fn delete_data(&self, who: &Principal, path: &str) -> Result<(), ServiceError> {
        self.permit(who, Permission::DataDelete)?;
        self.data.delete(path).await.map_err(|error| data_error(path, error))
    }

    /// With `wait`, answers when all are gone.
    pub async fn reset_data(&self, who: &Principal, wait: bool) -> Result<(), ServiceError> {
        self.permit(who, Permission::DataReset)?;
        let data = std::sync::Arc::clone(&self.data);
        let reset = tokio::spawn(async move { data.delete_all().await });
        if !wait {
            return Ok(());
        }
        let done = reset.await.map_err(|e| ServiceError::Internal(e.to_string()))?;
        done.map_err(|error| data_error("", error))
    }
}

fn data_error(name: &str, error: DataError) -> ServiceError {
    match error {
        DataError::Cut(why) => ServiceError::BodyCut(why),
        DataError::TooLarge { limit_bytes } => ServiceError::TooLarge { limit_bytes },
        DataError::BadName => ServiceError::DataNotStored(name.into()),
        DataError::NotFound => ServiceError::DataNotFound(name.into()),
        DataError::Full(why) => ServiceError::StorageFull(why),
        DataError::Failed(why) => {
            tracing::error!(name, error = %why, "data files");
            ServiceError::FilesUnavailable { store: "store of data files (`node.data-dir`)", why }
        }
    }
}
