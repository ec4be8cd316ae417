import { describe, expect, it } from 'vitest'
import { ClientInputError, PosthasteError, problemDetails } from '../../src/shared/errors.ts'

class TooLarge extends ClientInputError {
  readonly code = 'ERR_PAGE_INVALID'
  readonly issues = [{ param: 'per_page', message: 'must be at most 100' }]
}

describe('errors that a client’s input caused', () => {
  const error = new TooLarge('`per_page` must be at most 100')

  it('carry what frameworks read to answer 400', () => {
    expect(error).toBeInstanceOf(PosthasteError)
    expect(error).toMatchObject({ name: 'TooLarge', status: 400, statusCode: 400, expose: true })
  })

  it('become a problem document', async () => {
    const document = {
      title: 'Bad Request',
      status: 400,
      detail: '`per_page` must be at most 100',
      code: 'ERR_PAGE_INVALID',
      issues: [{ param: 'per_page', message: 'must be at most 100' }],
    }
    const problem = problemDetails(error)
    expect(problem).toMatchObject({ status: 400, headers: { 'content-type': 'application/problem+json' } })
    expect(JSON.parse(problem?.body ?? '')).toEqual(document)
    const response = error.getResponse()
    expect(response.status).toBe(400)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toEqual(document)
  })

  it.each([new Error('disk full'), null, undefined, { status: 400 }])('are told from others: %s is none', (other) => {
    expect(problemDetails(other)).toBeUndefined()
  })
})
