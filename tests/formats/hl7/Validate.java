// Prints what HL7's validator has to say of each file: severity, id and words, a line each.

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

public class Validate {
    public static void main(String[] files) throws Exception {
        var r4 = FhirContext.forR4();
        var known = new ValidationSupportChain(
            new DefaultProfileValidationSupport(r4),
            new CommonCodeSystemsTerminologyService(r4),
            new InMemoryTerminologyServerValidationSupport(r4));
        var validator = r4.newValidator().registerValidatorModule(new FhirInstanceValidator(known));
        for (var file : files) {
            for (var said : validator.validateWithResult(Files.readString(Path.of(file))).getMessages()) {
                System.out.println(said.getSeverity() + "\t" + said.getMessageId() + "\t" + said.getLocationString()
                    + "\t" + said.getMessage().replace('\n', ' '));
            }
        }
    }
}
