//! The manager's part in rotations: it begins them, and changes a session's key while nothing of the session runs.

use std::sync::Arc;

use super::State;
use crate::base::fault::fault_point;
use crate::base::{RotationId, Secret, SessionId, Timestamp};
use crate::model::SessionState;
use crate::ops::audit::{self, Deed, Initiator};
use crate::store::{Batch, Scan, StoreError};
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::rotation::{self, Errand, Rotation, RotationStep, Rotations};
use crate::telegram::spares::{Spare, Spares};
use crate::telegram::tables::{Authorisation, Authorisations, UpdateStates};

impl State {
    /// Rotations that were under way when the daemon died.
    pub(super) async fn resume_rotations(&self) -> Result<(), StoreError> {
        for (id, _) in self.context.store.scan::<Rotations>(Scan::all(), usize::MAX)? {
            if let Ok(link) = self.find(id) {
                let child = rotation::child(&self.context, &link, Errand::Resumed);
                if let Err(error) = self.rotations.start(child).await {
                    tracing::error!(session = %id, %error, "a rotation does not go on");
                }
            }
        }
        Ok(())
    }

    pub(super) async fn rotate(
        &self,
        id: SessionId,
        password: Option<Secret>,
        by: Initiator,
    ) -> Result<RotationId, TelegramError> {
        let link = self.find(id)?;
        if let Some(under_way) = self.context.store.get::<Rotations>(&id)? {
            return Ok(under_way.id);
        }
        link.client()?;
        let rotation = Rotation {
            id: RotationId::generate(),
            began: Timestamp::now(),
            step: RotationStep::Begun,
        };
        let mut batch = Batch::new();
        batch.put::<Rotations>(&id, &rotation);
        let told = rotation::event(&rotation, "started", None);
        batch.append(link.event(&link.account(), told), None);
        let entry = by.does(Deed::RotationBegun, id).detail("rotation", rotation.id);
        audit::commit(&self.context.store, batch, entry).await?;
        fault_point!("rotation.begun");
        let child = rotation::child(&self.context, &link, Errand::New(password));
        match self.rotations.start(child).await {
            Ok(()) => Ok(rotation.id),
            Err(error) => {
                tracing::error!(session = %id, %error, "a rotation did not start");
                Err(TelegramError::Away)
            }
        }
    }

    /// Puts the fresh key in place.
    pub(super) async fn switch_key(&self, id: SessionId) -> Result<(), TelegramError> {
        let link = self.find(id)?;
        let (Some(mut rotation), Some(former)) = (
            self.context.store.get::<Rotations>(&id)?,
            self.context.store.get::<Authorisations>(&id)?,
        ) else {
            return Err(TelegramError::Conflict("no rotation is under way"));
        };
        let RotationStep::Prepared(fresh) = rotation.step else {
            return Err(TelegramError::Conflict("the rotation has no fresh key"));
        };
        rotation.step = RotationStep::Switched(former);
        self.put_key(&link, &fresh, &rotation).await
    }

    /// Puts the former key back; answers the fresh one, if that was in place.
    pub(super) async fn switch_back(&self, id: SessionId) -> Result<Option<Authorisation>, TelegramError> {
        let link = self.find(id)?;
        let (Some(mut rotation), Some(fresh)) = (
            self.context.store.get::<Rotations>(&id)?,
            self.context.store.get::<Authorisations>(&id)?,
        ) else {
            return Ok(None);
        };
        let RotationStep::Switched(former) = rotation.step else {
            return Ok(None);
        };
        rotation.step = RotationStep::Prepared(fresh.clone());
        self.put_key(&link, &former, &rotation).await?;
        Ok(Some(fresh))
    }

    /// Nothing of the session runs while its key changes. Its positions stay, but for those that belong to an
    /// authorisation: they come anew with the first difference.
    async fn put_key(
        &self,
        link: &Arc<Link>,
        keys: &Authorisation,
        rotation: &Rotation,
    ) -> Result<(), TelegramError> {
        self.terminate(link).await;
        let mut batch = Batch::new();
        batch.put::<Authorisations>(&link.id, keys);
        batch.put::<Rotations>(&link.id, rotation);
        if let Some(mut position) = self.context.store.get::<UpdateStates>(&(link.id, 0))? {
            (position.seq, position.qts) = (0, 0);
            batch.put::<UpdateStates>(&(link.id, 0), &position);
        }
        let stored = self.context.store.commit(batch).await;
        fault_point!("rotation.switched");
        let wanted = link.account().wanted;
        let begins = self.want(link, wanted, |_| SessionState::Connecting).await;
        // With the key that is stored now, whichever that is.
        self.reconcile(link).await;
        stored.and(begins).map_err(TelegramError::from)
    }

    /// A session that is logged out takes its rotation with it.
    pub(super) async fn abandon_rotation(&self, link: &Link) -> Result<(), StoreError> {
        let Some(rotation) = self.context.store.get::<Rotations>(&link.id)? else {
            return Ok(());
        };
        if let Err(error) = self.rotations.terminate(&link.id.to_string()).await {
            tracing::debug!(session = %link.id, %error, "no rotation ran");
        }
        let mut batch = Batch::new();
        batch.remove::<Rotations>(&link.id);
        if let Some(keys) = rotation.step.spare() {
            let spare = Spare::of_rotation(keys.clone());
            batch.put::<Spares>(&(link.id, rotation.began), &spare);
        }
        let told = rotation::event(&rotation, "failed", Some("LOGGED_OUT".to_owned()));
        batch.append(link.event(&link.account(), told), None);
        let entry = rotation::audited(&rotation, link.id, Some("LOGGED_OUT"));
        audit::commit(&self.context.store, batch, entry).await?;
        self.context.spares.notify_one();
        Ok(())
    }
}
