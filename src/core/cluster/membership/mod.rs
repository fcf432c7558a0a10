//! The record's life as one node sees it: what a reading means, how a newcomer comes in, when a member claims. Pure functions; the
//! node keeps the state and the clock.

pub mod claims;
pub mod seeking;
pub mod standing;
