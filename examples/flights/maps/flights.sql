-- One row per flight, with what the timetable knew before departure and nothing that became known later.
--
-- The file gives the scheduled date and the actual departure as local HHMM (2400 is midnight). The scheduled time of
-- day is therefore the departure minus its delay, modulo one day, on that date, in Pacific time. Cancelled flights have
-- no departure: their scheduled_at is null, and the contract quarantines them.
with departure as (
    select
        *,
        year || '-' || lpad(month, 2, '0') || '-' || lpad(day, 2, '0') as scheduled_date,
        cast(dep_time as bigint) / 100 * 60 + cast(dep_time as bigint) % 100 - cast(dep_delay as bigint)
            as minutes_from_midnight
    from input
),
schedule as (
    -- Delays reach 26 hours, so the difference can lie up to two days before midnight.
    select *, (minutes_from_midnight + 2880) % 1440 as minute_of_day from departure
)
select
    scheduled_date || '-' || carrier || '-' || flight || '-' || origin as flight_id,
    local_to_instant(
        scheduled_date || 'T' || lpad(cast(minute_of_day / 60 as varchar), 2, '0') || ':'
            || lpad(cast(minute_of_day % 60 as varchar), 2, '0') || ':00',
        'America/Los_Angeles'
    ) as scheduled_at,
    carrier,
    cast(flight as bigint) as flight,
    tailnum,
    origin,
    dest,
    cast(distance as bigint) as distance
from schedule
