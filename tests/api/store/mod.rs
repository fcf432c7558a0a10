//! `doyen store`, on what real servers with real jobs have left.

mod belonging;
mod broken;
mod damage;
mod day;
mod dispossessed;
mod moves;
mod packed;
mod served;
mod shared;
