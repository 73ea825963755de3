select id as payment_id, card as card_id, at as paid_at, cents / 100.0 as amount_eur, c.country
from input left join cards c on c.card = input.card
