//! What was and what is to come.

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "what asks for forecasts comes with the rest of the reports")
)]
mod forecast;
