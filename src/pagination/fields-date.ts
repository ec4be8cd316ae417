/**
 * Dates of the Gregorian calendar, leap years and lengths of months included, alone or with a time and its offset
 * (RFC 3339, section 5.6, with the seconds left to choice). `Date` would take February 30 for March 1. Years 1 to 9999, also
 * after the offset is applied.
 */
export const datePattern: RegExp = build()

function build(): RegExp {
  const days31 = '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])'
  const days30 = '(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)'
  const february = '02-(?:0[1-9]|1\\d|2[0-8])'
  const leapYear = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
  const day = `(?:\\d{4}-(?:${days31}|${days30}|${february})|${leapYear}-02-29)`
  const time = '(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d{1,9})?)?'
  const offset = '(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)'
  return new RegExp(`^(?!0000|0001-01-01T.*\\+|9999-12-31T.*-)${day}(?:T${time}${offset})?$`, 'u')
}
