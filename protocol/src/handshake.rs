//! PQXDH.
