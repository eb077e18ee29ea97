//! Wall-clock times for people, in UTC: `2026-11-24 08:20:03Z`.

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

/// First millisecond of the year 10000: nothing real, so a peer made it up.
const END_MS: u64 = 253_402_300_800_000;

/// Date and time.
pub(crate) fn stamp(millis: u64) -> String {
    if millis >= END_MS {
        return "????-??-?? ??:??:??Z".to_owned();
    }
    let (year, month, day) = date(millis / 86_400_000);
    format!("{year:04}-{month:02}-{day:02} {}Z", of_day(millis))
}

/// Time of the day.
pub(crate) fn of_day(millis: u64) -> String {
    let seconds = millis / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day. Years begin in March here, so that a leap day ends its year
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let (month, carry) =
        if shifted_month < 10 { (shifted_month + 3, 0) } else { (shifted_month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (951_868_800, "2000-03-01 00:00:00Z"),
            (1_709_164_800, "2024-02-29 00:00:00Z"),
            (1_795_508_403, "2026-11-24 08:20:03Z"),
            (4_102_444_799, "2099-12-31 23:59:59Z"),
            (253_402_300_799, "9999-12-31 23:59:59Z"),
        ] {
            assert_eq!(stamp(seconds * 1_000), text);
        }
    }

    #[test]
    fn a_time_that_a_peer_made_up_is_no_time() {
        assert_eq!(stamp(u64::MAX), "????-??-?? ??:??:??Z");
    }
}
