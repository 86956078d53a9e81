"""Messy table cells with their clean values: the rows that the tidy model learns from and is judged on.

A row is (prompt, answer).  A cell is built from a *form* (locale, order, separators, month style, case, ...)
and *values* (the date or the amount).  One form in eight, chosen by a hash of the form alone, is held out:
training never sees such a form, and the example files and the accuracy test are made of nothing else.

    import cells
    for row in cells.rows(seed=1, held_out=False): ...

What a cell means:
  - a date answers YYYY-MM-DD; the locale decides 03/04/2021 (en-US: month first; de, fr, es: day first);
    year first is always year-month-day; a two-digit year 00..49 is 20yy, 50..99 is 19yy; a time of day is dropped;
  - an amount answers with a plain point and two decimals and the ISO 4217 code; "$" is USD; k and m multiply;
  - anything else (31 February, a missing year, no currency, "call me") answers unknown.

Month and day names: Unicode CLDR 44, locales en, de, fr, es.
"""

import datetime
import random
import zlib

LOCALES = ("en-US", "de", "fr", "es")
FIRST_YEAR, LAST_YEAR = 1950, 2049
HELD_OUT_ONE_IN = 8
UNKNOWN = "unknown"

MONTHS = {
    "en-US": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
}
MONTHS_SHORT = {
    "en-US": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
    "de": "Jan Feb Mär Apr Mai Jun Jul Aug Sept Okt Nov Dez".split(),
    "fr": "janv févr mars avr mai juin juil août sept oct nov déc".split(),
    "es": "ene feb mar abr may jun jul ago sept oct nov dic".split(),
}
DAYS = {
    "en-US": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
    "es": "lunes martes miércoles jueves viernes sábado domingo".split(),
}
DAYS_SHORT = {
    "en-US": "Mon Tue Wed Thu Fri Sat Sun".split(),
    "de": "Mo Di Mi Do Fr Sa So".split(),
    "fr": "lun mar mer jeu ven sam dim".split(),
    "es": "lun mar mié jue vie sáb dom".split(),
}
PREFIXES = {
    "en-US": ("", "", "", "on ", "date: ", "due ", "since "),
    "de": ("", "", "", "am ", "Datum: ", "bis ", "seit "),
    "fr": ("", "", "", "le ", "date : ", "avant le ", "depuis le "),
    "es": ("", "", "", "el ", "fecha: ", "hasta el ", "desde el "),
}
SUFFIXES = ("", "", "", "", " 14:05", " 9:30", "T08:00:00Z", " (?)", ".", " *")

CURRENCIES = {  # code -> symbols and words that stand for it
    "USD": ("$", "US$", "USD", "usd", "dollars"),
    "EUR": ("€", "EUR", "eur", "Euro", "euros"),
    "GBP": ("£", "GBP", "gbp", "pounds"),
    "JPY": ("¥", "JPY", "yen"),
    "CHF": ("CHF", "chf", "Fr.", "SFr."),
}
AMOUNT_PREFIXES = {
    "en-US": ("", "", "", "total: ", "approx. ", "paid "),
    "de": ("", "", "", "Summe: ", "ca. ", "bezahlt "),
    "fr": ("", "", "", "total : ", "env. ", "payé "),
    "es": ("", "", "", "total: ", "aprox. ", "pagado "),
}

JUNK = (
    "call me", "n/a", "N/A", "tbd", "TBD", "to be confirmed", "see notes", "none", "null", "-", "--", "?", "???",
    "ask Peter", "later", "soon", "next week", "tomorrow", "yesterday", "last year", "asap", "pending", "not yet",
    "x", "xxx", "...", "see above", "same as before", "unknown date", "no idea", "morgen", "gestern", "nächste Woche",
    "siehe oben", "keine Angabe", "k.A.", "offen", "demain", "hier", "la semaine prochaine", "voir plus haut",
    "à confirmer", "inconnu", "mañana", "ayer", "la próxima semana", "ver arriba", "por confirmar", "desconocido",
    "free", "gratis", "kostenlos", "gratuit", "a lot", "too much", "viel", "beaucoup", "mucho", "on request",
    "auf Anfrage", "sur demande", "bajo pedido", "#REF!", "#N/A", "error", "room 12", "page 7", "tel. 555 0199",
    "Anna", "Berlin", "Madrid", "invoice", "Rechnung", "facture", "factura", "yes", "no", "ja", "nein", "oui", "sí",
)
JUNK_HELD_OUT = (
    "call me back", "ask Maria", "not known", "will follow", "see page 3", "in two weeks", "sometime", "#VALUE!",
    "noch offen", "übermorgen", "siehe unten", "Herr Schmidt", "voir ci-dessous", "après-demain", "aucune idée",
    "pasado mañana", "ver abajo", "ni idea", "priceless", "cheap", "teuer", "cher", "barato", "Paris", "????", "room 7",
)

TASKS = {
    "date": (
        "Rewrite the date as YYYY-MM-DD.",
        "Give this date in ISO 8601.",
        "Clean the date.",
    ),
    "amount": (
        "Rewrite the amount as a plain number and currency code.",
        "Give this amount as 1234.50 EUR.",
        "Clean the amount.",
    ),
}
SYSTEM = "You clean table cells. Answer with the clean value only, or unknown."


def is_held_out(form):
    return zlib.crc32(repr(form).encode()) % HELD_OUT_ONE_IN == 0


def apply_case(text, case):
    return {"as is": text, "upper": text.upper(), "lower": text.lower(), "title": text[:1].upper() + text[1:]}[case]


def ordinal(day, locale):
    if locale == "en-US":
        if 11 <= day % 100 <= 13:
            return f"{day}th"
        return f"{day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
    if locale == "de":
        return f"{day}."
    if locale == "fr":
        return "1er" if day == 1 else str(day)
    return f"{day}º" if day == 1 else str(day)


def date_form(rng):
    """What a date looks like, without the date."""
    locale = rng.choice(LOCALES)
    kind = rng.choices(("numeric", "named", "year first", "compact"), (35, 50, 11, 4))[0]
    common = (
        rng.randrange(len(PREFIXES[locale])),
        rng.randrange(len(SUFFIXES)),
        rng.choices(("", " ", "  "), (8, 1, 1))[0],  # stray space in front
    )
    year = rng.choices(("yyyy", "yy", "'yy"), (6, 3, 1))[0]
    if kind == "numeric":
        return kind, locale, common, rng.choice(("/", ".", "-", " ", ". ", " / ")), year, rng.choice(("d", "dd"))
    if kind == "named":
        order = rng.choice(("dmy", "mdy") if locale == "en-US" else ("dmy", "dmy", "dmy", "mdy"))
        return (
            kind, locale, common, order, year,
            rng.choice(("wide", "short", "short.")),
            rng.choice(("as is", "as is", "upper", "lower", "title")),
            rng.choice((" ", " ", "-", ".", "  ")),
            rng.choice(("d", "d", "dd", "ordinal")),
            rng.choice((False, True)),  # joined by "of" or "de", or a comma after month-day
            rng.choices(("", "wide", "short", "short."), (5, 2, 1, 1))[0],  # day of the week
        )
    if kind == "year first":
        return kind, locale, common, rng.choice(("-", "/", ".", " ")), rng.choice(("d", "dd"))
    return kind, locale, common


def write_date(form, y, m, d):
    """The cell of a form; y, m, d need not be a real date."""
    kind, locale, (prefix, suffix, lead) = form[:3]
    year = None
    if kind in ("numeric", "named"):
        year = {"yyyy": f"{y:04d}", "yy": f"{y % 100:02d}", "'yy": f"'{y % 100:02d}"}[form[4]]
    if kind == "numeric":
        sep, pad = form[3], form[5]
        dd, mm = (f"{d:02d}", f"{m:02d}") if pad == "dd" else (str(d), str(m))
        body = sep.join((mm, dd, year) if locale == "en-US" else (dd, mm, year))
    elif kind == "named":
        _, _, _, order, _, style, case, sep, day_style, joined, weekday = form
        if style == "wide" or not 1 <= m <= 12:
            month = MONTHS[locale][(m - 1) % 12]
        else:
            month = MONTHS_SHORT[locale][m - 1] + ("." if style == "short." else "")
        month = apply_case(month, case)
        day = {"d": str(d), "dd": f"{d:02d}", "ordinal": ordinal(d, locale)}[day_style]
        if order == "mdy":
            body = f"{month}{sep}{day}{',' if joined else ''} {year}"
        elif joined and locale == "en-US":
            body = f"{day} of {month} {year}"
        elif joined and locale == "es":
            body = f"{day} de {month} de {year}"
        else:
            if locale == "de" and joined and not day.endswith("."):
                day += "."
            body = sep.join((day, month, year))
        if weekday:
            try:
                number = datetime.date(y, m, d).weekday()
            except ValueError:
                number = (d + m) % 7
            name = (DAYS if weekday == "wide" else DAYS_SHORT)[locale][number]
            body = f"{name}{'.' if weekday == 'short.' else ''}{',' if joined else ''} {body}"
    elif kind == "year first":
        sep, pad = form[3], form[4]
        body = sep.join((f"{y:04d}",) + ((f"{m:02d}", f"{d:02d}") if pad == "dd" else (str(m), str(d))))
    else:
        body = f"{y:04d}{m:02d}{d:02d}"
    tail = SUFFIXES[suffix]
    if tail.startswith("T") and kind not in ("year first", "compact"):
        tail = ""
    return lead + PREFIXES[locale][prefix] + body + tail


def random_date(rng):
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    last = datetime.date(LAST_YEAR, 12, 31).toordinal()
    return datetime.date.fromordinal(rng.randint(first, last))


def impossible_date(rng, named):
    """A day that no calendar has."""
    y = rng.randint(FIRST_YEAR, LAST_YEAR)
    pick = rng.randrange(5)
    if pick == 0:
        return y, 2, rng.choice((30, 31))
    if pick == 1:
        y = rng.choice([v for v in range(FIRST_YEAR, LAST_YEAR + 1) if v % 4])
        return y, 2, 29
    if pick == 2:
        return y, rng.choice((4, 6, 9, 11)), 31
    if pick == 3 or named:
        return y, rng.randint(1, 12), rng.choice((0, 32, 33, 35, 38, 40, 45, 50, 61, 77, 99))
    return y, rng.choice((0, 13, 14, 15, 17, 19, 20, 22, 25, 28, 30, 31)), rng.randint(1, 28)


def partial_date(rng, locale):
    """Words that belong to a date, but not to a whole one."""
    day = random_date(rng)
    month = MONTHS[locale][day.month - 1]
    return rng.choice((
        f"{month} {day.year}", f"{day.year}", month, f"{day.day} {month}", f"{day.month}/{day.year}",
        f"{DAYS[locale][day.weekday()]}", f"Q{rng.randint(1, 4)} {day.year}", f"{day.day}.{day.month}.",
    ))


def date_cell(rng, held_out):
    while True:
        form = date_form(rng)
        if is_held_out(form) == held_out:
            break
    kind, locale = form[:2]
    pick = rng.random()
    if pick < 0.80:
        if rng.random() < 0.06:  # the leap days are few and decide much
            y = rng.choice([v for v in range(FIRST_YEAR, LAST_YEAR + 1) if v % 4 == 0])
            day = datetime.date(y, 2, 29)
        else:
            day = random_date(rng)
        return form, locale, write_date(form, day.year, day.month, day.day), day.isoformat()
    if pick < 0.93:
        return form, locale, write_date(form, *impossible_date(rng, kind == "named")), UNKNOWN
    if pick < 0.96:
        return form, locale, partial_date(rng, locale), UNKNOWN
    return form, locale, rng.choice(JUNK_HELD_OUT if held_out else JUNK), UNKNOWN


def amount_form(rng):
    locale = rng.choice(LOCALES)
    code = rng.choice(tuple(CURRENCIES))
    sign = rng.randrange(len(CURRENCIES[code]))
    if locale == "en-US":
        group, point = rng.choice((",", ",", "", " ")), "."
    elif locale == "de":
        group, point = rng.choice((".", ".", "", " ", "'")), ","
    elif locale == "fr":
        group, point = rng.choice(("\u202f", " ", "", ".")), ","
    else:
        group, point = rng.choice((".", ".", "", " ")), ","
    return (
        "amount", locale, code, sign,
        rng.choice(("before", "after")), rng.choice(("", " ")), group, point,
        rng.choices(("plain", "dash", "k", "m"), (14, 1, 3, 2))[0],
        rng.choices(("", "-", "()"), (8, 2, 1))[0],
        rng.randrange(len(AMOUNT_PREFIXES[locale])),
        rng.choices(("", " "), (9, 1))[0],
    )


def grouped(whole, group):
    text = str(whole)
    parts = []
    while len(text) > 3:
        parts.insert(0, text[-3:])
        text = text[:-3]
    return group.join([text] + parts)


def write_amount(form, cents, decimals, drop_currency=False):
    """The cell of a form and its clean value; decimals says whether the cell shows them."""
    _, locale, code, sign, place, gap, group, point, style, minus, prefix, lead = form
    whole, rest = divmod(cents, 100)
    if style in ("k", "m"):  # one decimal at most: 3.2k
        unit = 1000 if style == "k" else 1_000_000
        tenths = whole % 1000 if whole % 1000 else 7
        number = f"{tenths // 10}" + (f"{point}{tenths % 10}" if tenths % 10 or decimals else "")
        number += style if code != "CHF" else " " + style
        cents = tenths * unit // 10 * 100
    elif style == "dash" and not decimals:
        number = grouped(whole, group) + point + ("-" if locale != "en-US" else "00")
        cents = whole * 100
    else:
        number = grouped(whole, group) + (f"{point}{rest:02d}" if decimals else "")
        cents = cents if decimals else whole * 100
    name = CURRENCIES[code][sign]
    if drop_currency:
        text = number
    elif place == "before" and not name[0].islower() and name not in ("Euro",):
        text = name + gap + number
    else:
        text = number + (gap if not name.isalpha() or len(name) < 3 else " ") + name
    if minus == "-":
        text = "-" + text
    elif minus == "()":
        text = "(" + text + ")"
    value = f"{'-' if minus and cents else ''}{cents // 100}.{cents % 100:02d} {code}"
    return lead + AMOUNT_PREFIXES[locale][prefix] + text, value


def amount_cell(rng, held_out):
    while True:
        form = amount_form(rng)
        if is_held_out(form) == held_out:
            break
    locale = form[1]
    pick = rng.random()
    digits = rng.choices((1, 2, 3, 4, 5, 6, 7), (1, 3, 4, 5, 4, 3, 2))[0]
    cents = rng.randrange(10 ** (digits - 1), 10**digits) * 100 + rng.randrange(100)
    cell, value = write_amount(form, cents, decimals=rng.random() < 0.6, drop_currency=pick >= 0.94)
    if pick < 0.90:
        return form, locale, cell, value
    if pick < 0.94:
        return form, locale, rng.choice(JUNK_HELD_OUT if held_out else JUNK), UNKNOWN
    return form, locale, cell, UNKNOWN


def rows(seed, held_out, task=None):
    """Endless (messages, answer, task); a seed gives the same rows for ever."""
    rng = random.Random(f"tidy {seed} {held_out}")
    while True:
        kind = task or ("date" if rng.random() < 0.6 else "amount")
        _, locale, cell, answer = (date_cell if kind == "date" else amount_cell)(rng, held_out)
        instruction = rng.choices(TASKS[kind], (4, 1, 1))[0]
        messages = [{"role": "user", "content": f"{instruction} Locale: {locale}. Cell: {cell}"}]
        if rng.random() < 0.2:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        yield messages, answer, kind
