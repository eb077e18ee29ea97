//! One integration binary over real nodes and the shipped store.

mod power_cut;
