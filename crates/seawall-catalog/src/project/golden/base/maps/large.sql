select country, count(*) as n from large_payments group by country
