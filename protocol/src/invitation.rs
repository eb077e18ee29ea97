//! Contact records and invitation links.
