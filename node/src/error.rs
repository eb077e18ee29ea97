//! Every way in which a node can fail, with code, category and hint.
