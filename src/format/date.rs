//! Days of the calendar, counted from 1970-01-01.

/// Year, month and day of a day, which is given by its number: day 0 is 1970-01-01.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    // Years that begin in March, so that a leap day is the last one; 146,097 days are 400 years. The method is that of
    // Howard Hinnant's "chrono-compatible low-level date algorithms".
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + 400 * era + i64::from(month <= 2), month, day)
}

/// The number of a day; `None` if there is no such day.
pub(super) fn days_to(year: i64, month: i64, day: i64) -> Option<i64> {
    // The inverse of the above, by the same method.
    let year_from_march = year - i64::from(month <= 2);
    let (era, year_of_era) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (date_of(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_of_four_centuries_follows_the_one_before() {
        let mut before = date_of(-365 * 200);
        for days in -365 * 200 + 1..365 * 200 {
            let (year, month, day) = date_of(days);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match before.1 {
                2 => 28 + i64::from(is_leap && before.0 == year),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match before {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == last => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!((year, month, day), expected);
            assert_eq!(days_to(year, month, day), Some(days));
            before = (year, month, day);
        }
    }

    #[test]
    fn days_that_do_not_exist_have_no_number() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2023, 13, 1), (2023, 0, 1), (2023, 4, 31), (2023, 1, 0)]
        {
            assert_eq!(days_to(year, month, day), None, "{year}-{month}-{day}");
        }
        assert!(days_to(2024, 2, 29).is_some() && days_to(2000, 2, 29).is_some());
    }
}
