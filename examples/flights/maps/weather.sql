-- One row per airport and hour. The hour is local: Pacific time, with an hour missing in spring.
select
    origin,
    local_to_instant(
        year || '-' || lpad(month, 2, '0') || '-' || lpad(day, 2, '0') || 'T' || lpad(hour, 2, '0') || ':00:00',
        'America/Los_Angeles'
    ) as observed_at,
    cast(temp as double) as temp,
    cast(dewp as double) as dewp,
    cast(humid as double) as humid,
    cast(wind_dir as bigint) as wind_dir,
    cast(wind_speed as double) as wind_speed,
    cast(wind_gust as double) as wind_gust,
    cast(precip as double) as precip,
    cast(pressure as double) as pressure,
    cast(visib as double) as visib
from input
