import { describeEngines } from './support/contract.ts'

describeEngines('PGlite', 'PostgreSQL')
