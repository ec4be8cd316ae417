import { describeEngines } from './support/contract.ts'

describeEngines('MariaDB')
