//! Statements with their arguments in order, and rows as structs. All of it is plain sqlx, without a line for each argument.

/// `sql!("… $1 … $2", [first, second])`
macro_rules! sql {
    ($text:expr, [$($argument:expr),+ $(,)?]) => { sqlx::query($text)$(.bind($argument))+ };
}

/// Its rows become values with [`sqlx::FromRow`].
macro_rules! sql_as {
    ($text:expr, [$($argument:expr),+ $(,)?]) => { sqlx::query_as($text)$(.bind($argument))+ };
}

/// Its rows have one column.
macro_rules! sql_scalar {
    ($text:expr, [$($argument:expr),+ $(,)?]) => { sqlx::query_scalar($text)$(.bind($argument))+ };
}

/// Reads a struct from a row that has a column for each field.
macro_rules! from_row {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl sqlx::FromRow<'_, sqlx::any::AnyRow> for $type {
            fn from_row(row: &sqlx::any::AnyRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),+ })
            }
        }
    };
}
pub(crate) use {from_row, sql, sql_as, sql_scalar};
