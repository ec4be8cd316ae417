/** JSON of about as many bytes: rows with ids, names, mail addresses and dates. */
export function rowsOf(bytes: number): string {
  const rows: object[] = []
  for (let length = 2, id = 1; length < bytes; id++) {
    const key = Math.imul(id, 0x9e3779b1) >>> 0
    const row = {
      id,
      name: `User ${id}`,
      email: `u${key.toString(36)}@example.com`,
      at: new Date(1.6e12 + key).toISOString(),
    }
    length += JSON.stringify(row).length + 1
    rows.push(row)
  }
  return JSON.stringify(rows)
}
