-- One row per flight that landed with a known arrival delay.
--
-- The file gives the arrival as local HHMM at the destination, without a date. Flights take less than a day, so the
-- landing is the first instant after the actual departure at which the destination's clocks show that time. A time
-- that occurs twice in autumn means the earlier instant, unless that lies before the departure. A time that is skipped
-- in spring never shows on that day, so the next day's is taken: one flight to Anchorage on 9 March is recorded so, and
-- believing that it landed a day later is the choice that cannot leak its delay into the past.
with departure as (
    select
        input.*,
        year || '-' || lpad(month, 2, '0') || '-' || lpad(day, 2, '0') as scheduled_date,
        (cast(dep_time as bigint) / 100 * 60 + cast(dep_time as bigint) % 100 - cast(dep_delay as bigint) + 2880) % 1440
            as minute_of_day,
        cast(arr_time as bigint) / 100 * 60 + cast(arr_time as bigint) % 100 as arrival_minutes,
        case
            when airports.tz = '-5' and airports.dst = 'A' then 'America/New_York'
            when airports.tz = '-6' and airports.dst = 'A' then 'America/Chicago'
            when airports.tz = '-7' and airports.dst = 'A' then 'America/Denver'
            when airports.tz = '-7' and airports.dst = 'N' then 'America/Phoenix'
            when airports.tz = '-8' and airports.dst = 'A' then 'America/Los_Angeles'
            when airports.tz = '-9' and airports.dst = 'A' then 'America/Anchorage'
            when airports.tz = '-10' and airports.dst = 'N' then 'Pacific/Honolulu'
        end as zone
    from input left join airports on input.dest = airports.faa
    where input.arr_delay is not null
),
scheduled as (
    select
        *,
        local_to_instant(
            scheduled_date || 'T' || lpad(cast(minute_of_day / 60 as varchar), 2, '0') || ':'
                || lpad(cast(minute_of_day % 60 as varchar), 2, '0') || ':00',
            'America/Los_Angeles'
        ) as scheduled_at
    from departure
),
departed as (
    select *, scheduled_at + cast(dep_delay || ' minutes' as interval) as departed_at from scheduled
),
candidate as (
    select
        *,
        date_trunc('day', instant_to_local(departed_at, zone)) + cast(arrival_minutes || ' minutes' as interval)
            as arrival_local
    from departed
),
arrival as (
    select
        *,
        local_to_instant(arrival_local, zone) as same_day,
        local_to_instant(arrival_local + interval '1 day', zone) as next_day,
        local_to_instant(arrival_local + interval '2 days', zone) as day_after
    from candidate
)
select
    scheduled_date || '-' || carrier || '-' || flight || '-' || origin as flight_id,
    case
        when same_day > departed_at then same_day
        when same_day + interval '1 hour' > departed_at
            and instant_to_local(same_day + interval '1 hour', zone) = arrival_local then same_day + interval '1 hour'
        else coalesce(next_day, day_after)
    end as landed_at,
    scheduled_at,
    carrier,
    origin,
    dest,
    tailnum,
    cast(dep_delay as bigint) as dep_delay,
    cast(arr_delay as bigint) as arr_delay
from arrival
