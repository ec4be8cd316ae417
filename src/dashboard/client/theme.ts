const key = 'posthaste-colours'

/** Remembers the choice of colours, which the style sheet reads from the switch itself: without a script it works too. */
export function rememberTheme(): void {
  const inputs = [...document.querySelectorAll<HTMLInputElement>('[name=theme]')]
  const remembered = inputs.find(({ value }) => value === read())
  if (remembered !== undefined) remembered.checked = true
  for (const input of inputs) {
    input.addEventListener('change', () => write(input.value))
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null // storage is forbidden
  }
}

function write(theme: string): void {
  try {
    localStorage.setItem(key, theme)
  } catch {
    // storage is forbidden: the choice holds until the page is left
  }
}
