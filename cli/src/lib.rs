//! The one program `bitchat`, as a library so that tests can link it.
